package io.chorale.text;

import io.chorale.text.jinja.Text;
import java.util.ArrayList;
import java.util.List;

/** A prompt as text, in pieces that tell what the template wrote from what came from a message. */
public record RenderedPrompt(List<Piece> pieces) {
    /** A stretch of one origin: special tokens are recognised in what the template wrote only. */
    public record Piece(String text, boolean fromContent) {}

    public RenderedPrompt {
        pieces = List.copyOf(pieces);
    }

    static RenderedPrompt of(Text text) {
        List<Piece> pieces = new ArrayList<>();
        text.forEachRun((chars, content) -> pieces.add(new Piece(chars, content)));
        return new RenderedPrompt(pieces);
    }

    /** The whole prompt. */
    public String text() {
        StringBuilder text = new StringBuilder();
        pieces.forEach(piece -> text.append(piece.text()));
        return text.toString();
    }
}
