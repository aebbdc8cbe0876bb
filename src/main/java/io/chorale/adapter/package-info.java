/**
 * Files of models and adapters: parsed, verified against the base model, handed to the engine as manifests of verified
 * spans; the registry of adapters; staging into host memory. Loader threads; the registry is read by any thread. May
 * import engine and core.model.
 */
@NullMarked
package io.chorale.adapter;

import org.jspecify.annotations.NullMarked;
