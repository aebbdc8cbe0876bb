package io.chorale.adapter;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;

/** Places on other machines that adapters are fetched from. */
public interface AdapterSources {
    /** No other machine. */
    AdapterSources NONE = new AdapterSources() {
        @Override
        public boolean knows(String source) {
            return false;
        }

        @Override
        public void fetch(String source, Optional<String> sha256, Path into, long bytesMax) throws AdapterRefusal {
            throw new AdapterRefusal(AdapterRefusal.Kind.FORBIDDEN, "this server fetches no adapters");
        }
    };

    /** Whether this is the name of something on another machine, wanted or not. */
    boolean knows(String source);

    /**
     * Brings an adapter's configuration and tensors into a folder. Blocks.
     *
     * @param sha256 hexadecimal, of what the source must be; some sources need it
     * @param bytesMax that the files may have together
     */
    void fetch(String source, Optional<String> sha256, Path into, long bytesMax)
            throws AdapterRefusal, FileRejectedException, IOException;
}
