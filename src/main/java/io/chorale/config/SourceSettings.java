package io.chorale.config;

import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** Other machines that the base model, and by an administrator's wish adapters, may be fetched from. */
@ConfigMapping(prefix = "chorale.sources")
public interface SourceSettings {
    /**
     * Beginnings of sources, each with a final slash, such as hf://my-org/ or https://models.example.com/adapters/ or
     * s3://my-bucket/. Unset: nothing is fetched.
     */
    Optional<List<String>> allowed();

    /** Address of the hub behind hf://. */
    @WithDefault("https://huggingface.co")
    URI hub();

    /** Token for the hub; it is sent to no other host. */
    Optional<String> hubToken();

    /** Hosts on which the hub keeps its files; one that begins with a dot stands for all under it. */
    @WithDefault(".huggingface.co,.hf.co")
    List<String> hubRedirects();

    /** Address of an S3 service other than Amazon's; buckets are the first part of its paths. */
    Optional<URI> s3Endpoint();

    /** Region of the buckets. */
    @WithDefault("us-east-1")
    String s3Region();

    /** Access key for buckets. Unset: requests are not signed. */
    Optional<String> s3AccessKey();

    /** Secret key for buckets. */
    Optional<String> s3SecretKey();

    /** How long a connection may take. */
    @WithDefault("5S")
    Duration connectTimeout();

    /** How long a source may send nothing. */
    @WithDefault("10S")
    Duration stallTimeout();

    /** How long one try may take; the next one goes on where it stopped. */
    @WithDefault("5M")
    Duration tryTimeout();

    /** Tries after the first. */
    @WithDefault("4")
    int retries();

    /** Pause before the second try; it doubles from try to try and varies at random. */
    @WithDefault("500MS")
    Duration retryPause();

    /** How long a source that fails again and again is left alone. */
    @WithDefault("30S")
    Duration breakerPause();

    /** Fetches from one source at the same time; who comes beyond that is told to come again. */
    @WithDefault("4")
    int fetchesMax();
}
