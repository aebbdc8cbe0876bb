/** What is in {@code k8s/}, held against the schemas of its kinds, against the application, and against its claims. */
@NullMarked
package io.chorale.k8s;

import org.jspecify.annotations.NullMarked;
