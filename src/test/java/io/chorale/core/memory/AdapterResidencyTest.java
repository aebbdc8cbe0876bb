package io.chorale.core.memory;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.memory.DeviceAdapter.State;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class AdapterResidencyTest {
    private final PagePool pool = new PagePool(new PoolGeometry(10, 4, 2, 0));
    private final AdapterResidency residency = new AdapterResidency(pool);

    @AfterEach
    void isWhole() {
        residency.verify();
        pool.verify();
    }

    private DeviceAdapter resident(int version, int pages, long usedNanos) {
        DeviceAdapter adapter = residency.use(version);
        residency.staged(version, 100 + version, pages, true);
        residency.load(adapter, usedNanos);
        residency.loaded(adapter);
        return adapter;
    }

    @Test
    void goesFromAbsentToResidentAndBack() {
        DeviceAdapter adapter = residency.use(7);
        assertEquals(State.ABSENT, adapter.state());
        residency.staged(7, 107, 3, true);
        assertEquals(State.STAGED, adapter.state());
        residency.load(adapter, 0);
        assertEquals(State.LOADING, adapter.state());
        assertEquals(7, pool.takeable());
        residency.loaded(adapter);
        assertArrayEquals(new int[] {7}, residency.residentVersions());
        residency.drain(adapter);
        assertEquals(3, residency.drainingPages());
        assertEquals(1, residency.freeSlotCount(), "the slot is its own until the drop has ended");
        residency.drained(adapter);
        assertEquals(State.STAGED, adapter.state());
        assertEquals(10, pool.takeable());
        assertEquals(0, residency.residentVersions().length);
    }

    @Test
    void refusedMovesGoBackOneState() {
        DeviceAdapter adapter = residency.use(1);
        residency.staged(1, 101, 2, true);
        residency.load(adapter, 0);
        residency.loadFailed(adapter);
        assertEquals(State.STAGED, adapter.state());
        residency.load(adapter, 0);
        residency.loaded(adapter);
        residency.drain(adapter);
        residency.drainFailed(adapter);
        assertEquals(State.RESIDENT, adapter.state());
        assertEquals(0, residency.drainingPages());
    }

    @Test
    void whatIsPinnedIsNotEvicted() {
        DeviceAdapter old = resident(1, 2, 10);
        DeviceAdapter recent = resident(2, 2, 20);
        assertSame(old, residency.leastWorthKeeping(DeviceAdapter::usedNanos));
        residency.pin(old);
        assertSame(recent, residency.leastWorthKeeping(DeviceAdapter::usedNanos));
        residency.pin(recent);
        assertNull(residency.leastWorthKeeping(DeviceAdapter::usedNanos));
        assertThrows(IllegalStateException.class, () -> residency.drain(old));
        residency.unpin(old);
        residency.unpin(recent);
        assertThrows(IllegalStateException.class, () -> residency.unpin(recent));
    }

    @Test
    void theHostForgetsOnlyWhatNobodyNames() {
        DeviceAdapter adapter = resident(1, 2, 0);
        assertFalse(residency.unstage(1));
        residency.unuse(adapter);
        assertTrue(residency.unstage(1));
        assertEquals(1, residency.goneCount());
        assertSame(adapter, residency.goneAndEvictable());
        residency.drain(adapter);
        residency.drained(adapter);
        assertNull(residency.find(1));
        assertEquals(0, residency.goneCount());
    }

    @Test
    void anAdapterStagedAgainWhileItLeavesIsKept() {
        DeviceAdapter adapter = resident(1, 2, 0);
        residency.unuse(adapter);
        residency.unstage(1);
        residency.drain(adapter);
        assertSame(adapter, residency.use(1));
        assertFalse(adapter.onHost());
        residency.staged(1, 999, 2, true);
        residency.drained(adapter);
        assertEquals(State.STAGED, adapter.state());
        assertEquals(999, adapter.handle());
    }

    @Test
    void anAdapterThatSomebodyWaitsForBecomesAbsentWhenItsHostImageIsGone() {
        DeviceAdapter adapter = resident(1, 2, 0);
        residency.unuse(adapter);
        residency.unstage(1);
        residency.drain(adapter);
        residency.use(1);
        residency.drained(adapter);
        assertEquals(State.ABSENT, adapter.state());
        assertSame(adapter, residency.find(1));
        residency.unuse(adapter);
        assertNull(residency.find(1));
    }
}
