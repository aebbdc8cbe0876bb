package io.chorale.text.jinja;

import io.chorale.text.jinja.TemplateException.Kind;

/** Where in the template an operation stands, and from what budget it is paid. */
record Site(int line, Budget budget) {
    TemplateException failed(String message) {
        return TemplateException.at(Kind.FAILED, line, message);
    }

    TemplateException unsupported(String message) {
        return TemplateException.at(Kind.UNSUPPORTED, line, message);
    }

    TextBuilder builder() {
        return new TextBuilder(this);
    }
}
