package io.chorale.adapter;

/** An adapter's files are not those that were registered: they are being replaced, and a new version will follow. */
public final class FilesChangedException extends FileRejectedException {
    public FilesChangedException(AdapterEntry entry) {
        super("the files of adapter '" + entry.name() + "' have changed since it was registered; the new ones are not"
                + " known yet");
    }
}
