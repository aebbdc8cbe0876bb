package io.chorale.access;

import java.io.IOException;

/** What administrators did, and what others tried, a line of JSON each. Any thread. */
public interface AuditLog extends AutoCloseable {
    /** @param line JSON, without a line break */
    void write(String line);

    @Override
    default void close() throws IOException {}
}
