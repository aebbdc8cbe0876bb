package io.chorale.serving;

import java.time.Duration;

/**
 * How the service runs.
 *
 * @param overlapped whether the next step is begun before the one before is awaited
 * @param placesMax requests behind the door at once
 * @param ticketEventsMax events that may wait for one client
 * @param hostBytesMax host memory for staged adapters
 * @param drainGrace how long answers under way may take when the service stops
 */
public record ServingOptions(
        boolean overlapped, int placesMax, int ticketEventsMax, long hostBytesMax, Duration drainGrace) {}
