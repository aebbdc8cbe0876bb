package io.chorale.config;

import io.quarkus.runtime.configuration.MemorySize;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.time.Duration;

/** Requests and streams on the wire. */
@ConfigMapping(prefix = "chorale.stream")
public interface StreamSettings {
    /** Bytes of one request's body; a longer one gets 413. */
    @WithDefault("16M")
    MemorySize bodyBytesMax();

    /**
     * Bytes of the bodies that are being read, those above 64K, all together; who comes beyond that gets 503. In memory a body
     * is up to five times its bytes.
     */
    @WithDefault("64M")
    MemorySize bodiesBytesMax();

    /** How long a body may take to come; one that is not there then gets 408. */
    @WithDefault("60S")
    Duration bodyWithin();

    /** Answers that one request may ask for, over all its prompts. */
    @WithDefault("128")
    int choicesMax();

    /** Events that wait for one client; one that lets them pile up is dropped. */
    @WithDefault("1024")
    int bufferEventsMax();

    /** A stream whose connection takes nothing more for so long, because its client does not read, is broken off. */
    @WithDefault("60S")
    Duration stallMax();

    /** A stream on which nothing was sent for so long gets a comment, lest a proxy closes it. */
    @WithDefault("15S")
    Duration keepAlive();

    /** Resumable streams (POST /v1/streams) that exist at once. */
    @WithDefault("64")
    int resumableMax();

    /** Events of one resumable stream that are kept for a client that comes back. */
    @WithDefault("4096")
    int replayEventsMax();

    /** How long a resumable stream waits for a client, at first and after a break. */
    @WithDefault("30S")
    Duration resumeGrace();
}
