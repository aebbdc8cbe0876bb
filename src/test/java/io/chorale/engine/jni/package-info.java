/** The native engine behind its port: layout, faults, lifetimes. */
@NullMarked
package io.chorale.engine.jni;

import org.jspecify.annotations.NullMarked;
