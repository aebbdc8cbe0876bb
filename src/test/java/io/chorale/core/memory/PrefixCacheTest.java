package io.chorale.core.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.chorale.core.model.AdapterSet;
import org.junit.jupiter.api.Test;

class PrefixCacheTest {
    /** Tokens that count up from a number. */
    private record Counted(int first) implements PrefixTokens {
        @Override
        public void copyTokens(int from, int[] into) {
            for (int i = 0; i < into.length; i++) {
                into[i] = first + from + i;
            }
        }

        @Override
        public PrefixScope scopeBefore(int end) {
            return new PrefixScope(0, 0, AdapterSet.BASE, 0);
        }
    }

    /** All their tokens at once would be more than an array holds, and twelve gigabytes. */
    @Test
    void aPoolOfMillionsOfPagesTakesMemoryAsItFills() {
        PagePool pool = new PagePool(new PoolGeometry(3_000_000, 1024, 0, 0));
        PrefixCache cache = new PrefixCache(pool, new PrefixCaching(true, 7));
        PageTable pages = new PageTable();
        pool.take(PageUse.KV, 1_500, pages); // more than are allocated together
        assertEquals(1_500, cache.keep(new Counted(5), pages, 0, 1_500));
        PrefixMatch match = new PrefixMatch();
        assertEquals(1_500, cache.match(new Counted(5), 1_600, match));
        assertEquals(0, cache.match(new Counted(6), 1_600, new PrefixMatch()));
        cache.verify();
    }

    @Test
    void theLastPagesAreKeptToo() {
        PagePool pool = new PagePool(new PoolGeometry(1_030, 16, 0, 0));
        PrefixCache cache = new PrefixCache(pool, new PrefixCaching(true, 7));
        PageTable pages = new PageTable();
        pool.take(PageUse.KV, 1_030, pages);
        assertEquals(1_030, cache.keep(new Counted(0), pages, 0, 1_030));
        assertEquals(1_030, cache.match(new Counted(0), 2_000, new PrefixMatch()));
        cache.verify();
    }
}
