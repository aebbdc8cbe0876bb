package io.chorale.text.jinja;

import java.util.Arrays;

/** Puts a {@link Text} together and pays for its characters. */
final class TextBuilder {
    private final Site site;
    private final StringBuilder chars = new StringBuilder();
    private int[] flips = new int[4];
    private int flipCount;

    TextBuilder(Site site) {
        this.site = site;
    }

    TextBuilder append(String text, boolean content) {
        if (!text.isEmpty()) {
            site.budget().chars(text.length(), site.line());
            turnTo(content);
            chars.append(text);
        }
        return this;
    }

    TextBuilder append(String templateText) {
        return append(templateText, false);
    }

    TextBuilder append(Text text) {
        text.forEachRun(this::append);
        return this;
    }

    TextBuilder append(String text, int copies) {
        for (int i = 0; i < copies; i++) {
            append(text);
        }
        return this;
    }

    int length() {
        return chars.length();
    }

    /** Forgets everything from {@code length} on. */
    void truncate(int length) {
        chars.setLength(length);
        while (flipCount > 0 && flips[flipCount - 1] >= length) {
            flipCount--;
        }
    }

    Text build() {
        return chars.isEmpty() ? Text.EMPTY : new Text(chars.toString(), Arrays.copyOf(flips, flipCount));
    }

    private void turnTo(boolean content) {
        if (content == (flipCount % 2 == 1)) {
            return;
        }
        if (flipCount == flips.length) {
            flips = Arrays.copyOf(flips, 2 * flipCount);
        }
        flips[flipCount++] = chars.length();
    }
}
