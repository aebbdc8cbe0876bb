/**
 * HTTP as clients see it. These tests know the server by its configuration and its port alone, so that they can run
 * against an executable too.
 */
@NullMarked
package io.chorale.api;

import org.jspecify.annotations.NullMarked;
