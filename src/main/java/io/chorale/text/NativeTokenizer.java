package io.chorale.text;

import ai.djl.huggingface.tokenizers.jni.LibUtils;
import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import io.chorale.platform.LibraryFolder;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.Optional;

/**
 * A tokenizer of the native library, freed when it is no longer reachable.
 *
 * <p>We call the JNI layer of DJL's wrapper: the class above it copies offsets, masks and token texts that nobody asks
 * for here, and truncates to 512 tokens unless told otherwise.
 */
final class NativeTokenizer {
    private static final Cleaner CLEANER = Cleaner.create();
    private final long address;

    private NativeTokenizer(long address) {
        this.address = address;
        CLEANER.register(this, () -> TokenizersLibrary.LIB.deleteTokenizer(address));
    }

    static NativeTokenizer of(String json) {
        Library.load();
        TokenizersLibrary library = TokenizersLibrary.LIB;
        long address = library.createTokenizerFromString(json);
        library.disableTruncation(address);
        library.disablePadding(address);
        return new NativeTokenizer(address);
    }

    int[] encode(String text, boolean addSpecialTokens) {
        try {
            TokenizersLibrary library = TokenizersLibrary.LIB;
            long encoding = library.encode(address, text, addSpecialTokens);
            long[] wide;
            try {
                wide = library.getTokenIds(encoding);
            } finally {
                library.deleteEncoding(encoding);
            }
            int[] ids = new int[wide.length];
            for (int i = 0; i < ids.length; i++) {
                ids[i] = (int) wide[i];
            }
            return ids;
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    String decode(int[] ids, boolean skipSpecialTokens) {
        try {
            long[] wide = new long[ids.length];
            for (int i = 0; i < ids.length; i++) {
                wide[i] = ids[i];
            }
            return TokenizersLibrary.LIB.decode(address, wide, skipSpecialTokens);
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    /**
     * Loads the native library, once, and without calling home.
     *
     * <p>From the {@link LibraryFolder} we load it ourselves: DJL's loader first looks for a GPU through the CUDA
     * runtime. But a library serves the classes of one class loader, so where DJL has another than we, as in Quarkus's
     * tests, DJL has to load it; and it unpacks its own copy where there is no such folder.
     */
    @SuppressWarnings("restricted")
    private static final class Library {
        static {
            System.setProperty("ai.djl.offline", "true");
            System.setProperty("OPT_OUT_TRACKING", "true");
            Optional<String> library = LibraryFolder.find()
                    .map(folder -> folder.resolve("libtokenizers.so").toString());
            boolean sameLoader = Library.class.getClassLoader() == TokenizersLibrary.class.getClassLoader();
            if (library.isPresent() && sameLoader) {
                System.load(library.get());
            } else {
                // The file, not the folder: to a folder DJL adds the name of a CUDA architecture.
                library.ifPresent(file -> System.setProperty("RUST_LIBRARY_PATH", file));
                LibUtils.checkStatus();
            }
        }

        private Library() {}

        /** Runs the initializer above. */
        static void load() {}
    }
}
