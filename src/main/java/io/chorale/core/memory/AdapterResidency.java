package io.chorale.core.memory;

import io.chorale.core.memory.DeviceAdapter.State;
import io.chorale.core.model.Check;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/**
 * Which adapter is where: the slot table of the device, and every version that somebody wants or that is staged.
 *
 * <p>Uploads and drops are planned in one step and become true when that step has ended well; until then a loading
 * adapter may be used by later steps (the engine keeps their order) and a draining one keeps slot and pages. So a refused
 * step is undone by going back one state, and nobody can have taken what a refused drop did not free.
 */
public final class AdapterResidency {
    private final PagePool pool;
    private final Map<Integer, DeviceAdapter> byVersion = new LinkedHashMap<>();
    private final @Nullable DeviceAdapter[] slots;
    private final int[] freeSlots;
    private int freeSlotCount;
    private int pinnedCount;
    private int drainingCount;
    private int drainingPages;
    private int evictableCount;
    private int evictablePages;
    private int goneCount;
    private long evictions;
    private long loads;
    private int[] residentVersions = {};
    private boolean residentChanged;

    public AdapterResidency(PagePool pool) {
        this.pool = pool;
        int slotsMax = pool.geometry().slotsMax();
        slots = new DeviceAdapter[slotsMax];
        freeSlots = new int[slotsMax];
        for (int i = 0; i < slotsMax; i++) {
            freeSlots[i] = slotsMax - 1 - i;
        }
        freeSlotCount = slotsMax;
    }

    // ---- who wants what -------------------------------------------------------------------------------------------

    /** One more adapter set of live requests names this version. */
    public DeviceAdapter use(int version) {
        DeviceAdapter adapter = byVersion.computeIfAbsent(version, DeviceAdapter::new);
        adapter.users++;
        return adapter;
    }

    public void unuse(DeviceAdapter adapter) {
        adapter.users--;
        forgetIfUnwanted(adapter);
    }

    /** A request that names it came, or ended. */
    public void want(DeviceAdapter adapter, int change) {
        adapter.wanted += change;
    }

    /** A request began with it. */
    public void began(DeviceAdapter adapter, long nowNanos) {
        adapter.uses = adapter.uses(nowNanos) + 1;
        adapter.usesNanos = nowNanos;
    }

    /** Whether an adapter set of live requests names this version. */
    public boolean isUsed(int version) {
        DeviceAdapter adapter = byVersion.get(version);
        return adapter != null && adapter.users > 0;
    }

    public @Nullable DeviceAdapter find(int version) {
        return byVersion.get(version);
    }

    /** A running sequence uses it, or it is merged. */
    public void pin(DeviceAdapter adapter) {
        if (adapter.pins == 0) {
            countEvictable(adapter, -1);
            pinnedCount++;
        }
        adapter.pins++;
    }

    public void unpin(DeviceAdapter adapter) {
        if (adapter.pins == 0) {
            throw new IllegalStateException("adapter " + adapter.version + " is unpinned twice");
        }
        if (--adapter.pins == 0) {
            pinnedCount--;
            countEvictable(adapter, 1);
        }
    }

    /** Distinct adapters that steps may use now. */
    public int pinnedCount() {
        return pinnedCount;
    }

    public void touch(DeviceAdapter adapter, long nowNanos) {
        adapter.usedNanos = nowNanos;
    }

    // ---- host side ------------------------------------------------------------------------------------------------

    /** @param mergeable whether all that it does is to add to base weights */
    public void staged(int version, long handle, int pages, boolean mergeable) {
        Check.argument(handle != 0, () -> "adapter " + version + " has no handle");
        Check.argument(pages >= 1, () -> "adapter " + version + " has no pages");
        DeviceAdapter adapter = byVersion.computeIfAbsent(version, DeviceAdapter::new);
        Check.argument(
                adapter.slot < 0 || adapter.pagesNeeded == pages,
                () -> "adapter " + version + " has " + adapter.pagesNeeded + " pages on the device, not " + pages);
        adapter.handle = handle;
        adapter.pagesNeeded = pages;
        adapter.mergeable = mergeable;
        if (adapter.gone) {
            adapter.gone = false;
            goneCount--;
        }
        if (adapter.state == State.ABSENT) {
            adapter.state = State.STAGED;
        }
    }

    /**
     * The host wants to forget a staged adapter.
     *
     * @return whether it was not in use and is forgotten; what is left of it on the device leaves with the next step, and
     *     one that is merged when it has been unmerged
     */
    public boolean unstage(int version) {
        DeviceAdapter adapter = byVersion.get(version);
        if (adapter == null || adapter.gone) {
            return true;
        }
        if (adapter.users > 0) {
            return false;
        }
        if (adapter.state == State.STAGED || adapter.state == State.ABSENT) {
            byVersion.remove(version);
        } else {
            adapter.gone = true;
            goneCount++;
        }
        return true;
    }

    /** Adapters still on the device that the host has forgotten. */
    public int goneCount() {
        return goneCount;
    }

    // ---- device side ----------------------------------------------------------------------------------------------

    public int freeSlotCount() {
        return freeSlotCount;
    }

    /** Pages that come back when the drops in flight have ended. */
    public int drainingPages() {
        return drainingPages;
    }

    /** Slots that come back then. */
    public int drainingCount() {
        return drainingCount;
    }

    public int slotsMax() {
        return slots.length;
    }

    public @Nullable DeviceAdapter at(int slot) {
        return slots[slot];
    }

    public void load(DeviceAdapter adapter, long nowNanos) {
        expect(adapter, State.STAGED);
        if (freeSlotCount == 0) {
            throw new IllegalStateException("no slot is free for adapter " + adapter.version);
        }
        adapter.state = State.LOADING;
        adapter.slot = freeSlots[--freeSlotCount];
        adapter.usedNanos = nowNanos;
        slots[adapter.slot] = adapter;
        pool.take(PageUse.ADAPTER, adapter.pagesNeeded, adapter.pages);
        residentChanged = true;
    }

    public void loaded(DeviceAdapter adapter) {
        expect(adapter, State.LOADING);
        adapter.state = State.RESIDENT;
        countEvictable(adapter, 1);
        loads++;
    }

    public void loadFailed(DeviceAdapter adapter) {
        expect(adapter, State.LOADING);
        leaveDevice(adapter);
    }

    public void drain(DeviceAdapter adapter) {
        if (!adapter.evictable()) {
            throw new IllegalStateException("adapter " + adapter.version + " is in use and cannot be evicted");
        }
        countEvictable(adapter, -1);
        adapter.state = State.DRAINING;
        drainingCount++;
        drainingPages += adapter.pages.count();
    }

    public void drained(DeviceAdapter adapter) {
        expect(adapter, State.DRAINING);
        drainingCount--;
        drainingPages -= adapter.pages.count();
        evictions++;
        leaveDevice(adapter);
    }

    public void drainFailed(DeviceAdapter adapter) {
        expect(adapter, State.DRAINING);
        drainingCount--;
        drainingPages -= adapter.pages.count();
        adapter.state = State.RESIDENT;
        countEvictable(adapter, 1);
    }

    /** An adapter becomes, or is about to stop being, one that could be evicted, if nothing else stands against it. */
    private void countEvictable(DeviceAdapter adapter, int one) {
        if (adapter.evictable()) {
            evictableCount += one;
            evictablePages += one * adapter.pages.count();
        }
    }

    /** Adapters that could be evicted. */
    public int evictableCount() {
        return evictableCount;
    }

    /** Pages that evicting them all would free. */
    public int evictablePages() {
        return evictablePages;
    }

    /** What an idle adapter is compared with. */
    public Residents residents(long nowNanos) {
        double usesMax = 0;
        int pagesMax = 0;
        for (DeviceAdapter adapter : slots) {
            if (adapter != null) {
                usesMax = Math.max(usesMax, adapter.uses(nowNanos));
                pagesMax = Math.max(pagesMax, adapter.pagesNeeded);
            }
        }
        return new Residents(nowNanos, usesMax, pagesMax);
    }

    /** The evictable adapter with the lowest score, or null. */
    public @Nullable DeviceAdapter leastWorthKeeping(ToDoubleFunction<DeviceAdapter> score) {
        DeviceAdapter least = null;
        double leastScore = 0;
        for (DeviceAdapter adapter : slots) {
            if (adapter != null && adapter.evictable()) {
                double itsScore = adapter.gone ? Double.NEGATIVE_INFINITY : score.applyAsDouble(adapter);
                if (least == null || itsScore < leastScore) {
                    least = adapter;
                    leastScore = itsScore;
                }
            }
        }
        return least;
    }

    /** An adapter that the host has forgotten and nobody uses, or null. */
    public @Nullable DeviceAdapter goneAndEvictable() {
        for (DeviceAdapter adapter : slots) {
            if (adapter != null && adapter.gone && adapter.evictable()) {
                return adapter;
            }
        }
        return null;
    }

    private void leaveDevice(DeviceAdapter adapter) {
        slots[adapter.slot] = null;
        freeSlots[freeSlotCount++] = adapter.slot;
        adapter.slot = -1;
        pool.giveBack(adapter.pages);
        residentChanged = true;
        adapter.state = State.STAGED;
        if (adapter.gone) {
            adapter.gone = false;
            goneCount--;
            adapter.state = State.ABSENT;
            forgetIfUnwanted(adapter);
        }
    }

    /** An absent adapter that nobody waits for need not be remembered. */
    private void forgetIfUnwanted(DeviceAdapter adapter) {
        if (adapter.users == 0 && adapter.state == State.ABSENT) {
            byVersion.remove(adapter.version);
        }
    }

    private static void expect(DeviceAdapter adapter, State state) {
        if (adapter.state != state) {
            throw new IllegalStateException("adapter " + adapter.version + " is " + adapter.state + ", not " + state);
        }
    }

    // ---- looking at it --------------------------------------------------------------------------------------------

    public long evictions() {
        return evictions;
    }

    public long loads() {
        return loads;
    }

    /** Versions that hold a slot. The array is never changed: a new one is made when residency has changed. */
    public int[] residentVersions() {
        if (residentChanged) {
            residentChanged = false;
            residentVersions = new int[slots.length - freeSlotCount];
            int count = 0;
            for (DeviceAdapter adapter : slots) {
                if (adapter != null) {
                    residentVersions[count++] = adapter.version;
                }
            }
        }
        return residentVersions;
    }

    /** Checks the slot table and the counts against the adapters. */
    public void verify() {
        int pages = 0;
        int draining = 0;
        int pinned = 0;
        int goneOnes = 0;
        int taken = 0;
        int evictable = 0;
        int pagesEvictable = 0;
        for (DeviceAdapter adapter : byVersion.values()) {
            boolean hasSlot = adapter.onDevice() || adapter.state == State.DRAINING;
            Check.state(
                    hasSlot ? slots[adapter.slot] == adapter : adapter.slot == -1,
                    () -> "adapter " + adapter.version + " is " + adapter.state + " but slot " + adapter.slot
                            + " is not its own");
            Check.state(
                    adapter.pages.count() == (hasSlot ? adapter.pagesNeeded : 0),
                    () -> "adapter " + adapter.version + " holds " + adapter.pages.count() + " pages");
            Check.state(
                    adapter.pins == 0 || adapter.onDevice(),
                    () -> "adapter " + adapter.version + " is pinned but " + adapter.state);
            taken += hasSlot ? 1 : 0;
            pages += adapter.pages.count();
            draining += adapter.state == State.DRAINING ? adapter.pages.count() : 0;
            pinned += adapter.pins > 0 ? 1 : 0;
            goneOnes += adapter.gone ? 1 : 0;
            evictable += adapter.evictable() ? 1 : 0;
            pagesEvictable += adapter.evictable() ? adapter.pages.count() : 0;
        }
        boolean exact = pages == pool.count(PageUse.ADAPTER)
                && draining == drainingPages
                && pinned == pinnedCount
                && goneOnes == goneCount
                && evictable == evictableCount
                && pagesEvictable == evictablePages
                && taken == slots.length - freeSlotCount;
        Check.state(exact, () -> "adapter counts are not conserved");
    }
}
