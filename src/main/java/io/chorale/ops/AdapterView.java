package io.chorale.ops;

import java.util.List;

/** What metrics tell about adapters by their versions. Any thread. */
public interface AdapterView {
    String name(int version);

    int rank(int version);

    /** Versions in host memory. */
    List<Integer> staged();

    boolean isPinned(int version);

    /** Adapters in the page pool at once. */
    int residentMax();
}
