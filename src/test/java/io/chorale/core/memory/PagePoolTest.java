package io.chorale.core.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class PagePoolTest {
    private static final int OPERATIONS = 8;
    private static final int DEPTH = 6;

    private static PoolGeometry geometry(int pages) {
        return new PoolGeometry(pages, 16, 2, 2);
    }

    /** Every sequence of six operations on pools of one to four pages keeps the ledger whole. */
    @Test
    void everyShortHistoryConservesPages() {
        int sequences = (int) Math.pow(OPERATIONS, DEPTH);
        for (int pages = 1; pages <= 4; pages++) {
            for (int code = 0; code < sequences; code++) {
                run(new PagePool(geometry(pages)), code);
            }
        }
    }

    private static void run(PagePool pool, int code) {
        List<PageTable> owners = new ArrayList<>();
        long begun = 0;
        long committed = 0;
        for (int i = 0, rest = code; i < DEPTH; i++, rest /= OPERATIONS) {
            int operation = rest % OPERATIONS;
            switch (operation) {
                case 0, 1, 2 -> {
                    int wanted = operation == 2 ? 2 : 1;
                    if (pool.takeable() >= wanted) {
                        PageTable table = new PageTable();
                        pool.take(operation == 0 ? PageUse.KV : PageUse.ADAPTER, wanted, table);
                        owners.add(table);
                    }
                }
                case 3 -> giveBack(pool, owners, 0);
                case 4 -> giveBack(pool, owners, owners.size() - 1);
                case 5 -> {
                    if (!owners.isEmpty()) {
                        PageTable table = new PageTable();
                        pool.share(owners.get(0).page(0), table);
                        owners.add(table);
                    }
                }
                case 6 -> pool.begun(++begun);
                default -> {
                    if (committed < begun) {
                        pool.committed(++committed);
                    }
                }
            }
            pool.verify();
        }
        while (!owners.isEmpty()) {
            giveBack(pool, owners, 0);
        }
        pool.committed(begun);
        pool.verify();
        assertEquals(pool.geometry().pageCount(), pool.takeable());
    }

    /** It runs on the serving thread, between the last answer and the next request. */
    @Test
    void shouldVerifyMillionsOfPagesWithoutGarbage() {
        PagePool pool = new PagePool(geometry(3_000_000));
        pool.take(PageUse.KV, 1_000_000, new PageTable());
        ThreadMXBean thread = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = thread.getCurrentThreadAllocatedBytes();
        pool.verify();
        long bytesPerPage = (thread.getCurrentThreadAllocatedBytes() - before)
                / pool.geometry().pageCount();
        assertTrue(bytesPerPage <= 1, () -> bytesPerPage + " bytes a page: one is for whether it has been seen");
    }

    private static void giveBack(PagePool pool, List<PageTable> owners, int index) {
        if (!owners.isEmpty()) {
            pool.giveBack(owners.remove(index));
        }
    }

    @Test
    void aPageFreedWhileAStepIsInFlightComesBackWhenTheLastBegunStepHasEnded() {
        PagePool pool = new PagePool(geometry(1));
        PageTable table = new PageTable();
        pool.take(PageUse.KV, 1, table);
        pool.begun(0);
        pool.begun(1);
        pool.giveBack(table);
        assertEquals(1, pool.count(PageUse.QUARANTINED));
        pool.committed(0);
        assertEquals(0, pool.takeable());
        pool.committed(1);
        assertEquals(1, pool.takeable());
    }

    @Test
    void aSharedPageIsFreeWhenItsLastOwnerGivesItBack() {
        PagePool pool = new PagePool(geometry(1));
        PageTable first = new PageTable();
        PageTable second = new PageTable();
        pool.take(PageUse.KV, 1, first);
        pool.share(first.page(0), second);
        pool.giveBack(first);
        assertEquals(0, pool.takeable());
        pool.giveBack(second);
        assertEquals(1, pool.takeable());
    }

    @Test
    void takingMoreThanIsFreeIsABug() {
        PagePool pool = new PagePool(geometry(1));
        IllegalStateException thrown =
                assertThrows(IllegalStateException.class, () -> pool.take(PageUse.KV, 2, new PageTable()));
        assertEquals("2 pages wanted, 1 free", thrown.getMessage());
    }
}
