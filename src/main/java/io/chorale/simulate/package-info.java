/**
 * The simulator as a product: the server's own scheduler and door, in virtual time, on devices that are tables of costs,
 * with clients that come as a workload says and try again as the SDKs do. What {@code ./chorale simulate} and {@code POST
 * /v1/plan} run. A run is one thread's; the same settings give the same result. May see core, engine and workload.
 */
@NullMarked
package io.chorale.simulate;

import org.jspecify.annotations.NullMarked;
