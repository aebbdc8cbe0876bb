package io.chorale.adapter.source;

import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * What may be fetched, and with which rights.
 *
 * @param allowed beginnings of sources, each with a final slash
 * @param hub address of the hub
 * @param hubToken sent to the hub alone
 * @param hubRedirects hosts that the hub keeps its files on; one that begins with a dot stands for all under it
 * @param s3Endpoint of a service other than Amazon's
 */
public record SourceRules(
        List<String> allowed,
        URI hub,
        Optional<String> hubToken,
        List<String> hubRedirects,
        Optional<URI> s3Endpoint,
        String s3Region,
        Optional<String> s3AccessKey,
        Optional<String> s3SecretKey,
        Duration connectTimeout,
        Duration stallTimeout) {}
