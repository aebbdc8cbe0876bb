package io.chorale.adapter.source;

import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.AdapterRefusal.Kind;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A repository of the Hugging Face hub at one revision: a branch, a tag or a commit. */
record HubRepository(String organisation, String name, String revision) {
    static final String SCHEME = "hf://";
    private static final Pattern SOURCE = Pattern.compile(
            "hf://([A-Za-z0-9][\\w.-]{0,95})/([A-Za-z0-9][\\w.-]{0,95})(?:@([A-Za-z0-9][\\w./-]{0,127}))?");

    /** Whether it is written as one is. */
    static boolean isOne(String source) {
        return SOURCE.matcher(source).matches() && !source.contains("..");
    }

    /** Reads {@code hf://ORG/NAME@REVISION}; without a revision it is main. */
    static HubRepository of(String source) throws AdapterRefusal {
        Matcher name = SOURCE.matcher(source);
        if (!name.matches() || !isOne(source)) {
            throw new AdapterRefusal(Kind.MALFORMED, "a source on the hub is written hf://ORG/NAME@REVISION");
        }
        return new HubRepository(name.group(1), name.group(2), name.group(3) == null ? "main" : name.group(3));
    }

    HubRepository at(String commit) {
        return new HubRepository(organisation, name, commit);
    }

    /** Path of a file, after the hub's address. */
    String file(String file) {
        return "/" + fullName() + "/resolve/" + encodedRevision() + "/" + file;
    }

    /** Path of what the hub knows of the files, after the hub's address. */
    String listing() {
        return "/api/models/" + fullName() + "/revision/" + encodedRevision() + "?blobs=true";
    }

    String fullName() {
        return organisation + "/" + name;
    }

    /** A branch may have slashes in its name. */
    private String encodedRevision() {
        return revision.replace("/", "%2F");
    }
}
