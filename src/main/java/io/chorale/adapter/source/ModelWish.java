package io.chorale.adapter.source;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * A base model that lies on another machine.
 *
 * <pre>
 * hf://ORG/NAME or hf://ORG/NAME@REVISION        a repository of the Hugging Face hub
 * https://HOST/PATH/, http://..., s3://BUCKET/.../   a folder with a file SHA256SUMS, whose own SHA-256 is given
 * </pre>
 *
 * @param sha256 of the file SHA256SUMS; empty for the hub
 */
public record ModelWish(String source, Optional<String> sha256) {
    private static final Pattern FOLDER = Pattern.compile("(https?|s3)://[^/?#%\\\\@\\s]+/([^?#%\\\\@\\s]*/)?");
    private static final Pattern SHA256 = Pattern.compile("[0-9a-fA-F]{64}");

    /** What a source must look like, where this one does not. */
    public Optional<String> problem() {
        boolean isOne =
                isOnHub() ? HubRepository.isOne(source) : FOLDER.matcher(source).matches() && !source.contains("..");
        if (!isOne) {
            return Optional.of("must be hf://ORG/NAME or hf://ORG/NAME@REVISION, or a folder on the web or in a bucket:"
                    + " https://HOST/PATH/ or s3://BUCKET/PATH/, with a final slash");
        }
        return Optional.empty();
    }

    /** What the digest must be, where it is not. */
    public Optional<String> digestProblem() {
        boolean isWanted = !isOnHub();
        if (isWanted != sha256.isPresent()
                || sha256.filter(hex -> !SHA256.matcher(hex).matches()).isPresent()) {
            return Optional.of(
                    isWanted
                            ? "must be the SHA-256 of the folder's file SHA256SUMS, 64 hexadecimal digits"
                            : "is for folders on the web or in buckets; on the hub, name a commit as the revision");
        }
        return Optional.empty();
    }

    boolean isOnHub() {
        return source.startsWith(HubRepository.SCHEME);
    }

    /** By which people know the model: the repository's name, or the folder's. */
    public String modelName() {
        String path = isOnHub() ? source.replaceFirst("@.*", "") : source.replaceFirst("/+$", "");
        return path.substring(path.lastIndexOf('/') + 1);
    }

    /** A folder of its own among those of other wishes. */
    String folderName() {
        String label = sha256.map(hex -> source + "@" + hex.substring(0, 16)).orElse(source);
        return URLEncoder.encode(label, StandardCharsets.UTF_8);
    }
}
