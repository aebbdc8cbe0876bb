package io.chorale.adapter.source;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.AdapterRefusal.Kind;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a source says that it holds. It is kept beside the files, so that a later start goes on with the same ones, whatever
 * the source holds by then.
 *
 * @param wish what it was asked for
 * @param revision the commit that the wish stood for; empty where there are none
 */
record ModelListing(ModelWish wish, String revision, Map<String, Item> items) {
    private static final String FILE = "fetched.json";
    private static final JsonMapper JSON = new JsonMapper();

    /** Of a file in the folder itself, whose name is no surprise to a file system. */
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][\\w.+-]{0,127}");

    private static final Pattern COMMIT = Pattern.compile("[0-9a-f]{40}");
    private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");
    private static final Pattern SUM = Pattern.compile("([0-9a-fA-F]{64}) [ *](?:\\./)?(.+)");

    /**
     * A file.
     *
     * @param bytes empty where the source does not say
     */
    record Item(String name, OptionalLong bytes, ContentDigest digest) {
        boolean isIn(Path folder) throws IOException {
            Path file = folder.resolve(name);
            return Files.isRegularFile(file) && (bytes.isEmpty() || Files.size(file) == bytes.getAsLong());
        }
    }

    /** Reads what the hub's API answers. */
    static ModelListing ofHub(ModelWish wish, Path answer) throws IOException, AdapterRefusal {
        JsonNode root = tree(answer, "what " + wish.source() + " says of its files");
        String commit = root.path("sha").asText();
        if (!COMMIT.matcher(commit).matches()) {
            throw unclear(wish, "names no commit");
        }
        Map<String, Item> items = new TreeMap<>();
        for (JsonNode sibling : root.path("siblings")) {
            String name = sibling.path("rfilename").asText();
            if (!NAME.matcher(name).matches()) {
                continue;
            }
            String sha256 = sibling.path("lfs").path("sha256").asText();
            String blob = sibling.path("blobId").asText();
            long bytes = sibling.path("size").asLong(-1);
            if (bytes < 0
                    || !(SHA256.matcher(sha256).matches()
                            || COMMIT.matcher(blob).matches())) {
                throw unclear(wish, "tells neither size nor digest of " + name);
            }
            ContentDigest digest = SHA256.matcher(sha256).matches()
                    ? ContentDigest.sha256(sha256)
                    : new ContentDigest(ContentDigest.Kind.GIT_BLOB, blob);
            items.put(name, new Item(name, OptionalLong.of(bytes), digest));
        }
        return new ModelListing(wish, commit, items);
    }

    /** Reads the lines that {@code sha256sum} writes. */
    static ModelListing ofSums(ModelWish wish, Path sums) throws IOException, AdapterRefusal {
        Map<String, Item> items = new TreeMap<>();
        for (String line : lines(wish, sums)) {
            Matcher sum = SUM.matcher(line);
            if (!sum.matches()) {
                throw unclear(wish, "has a line that is not of sha256sum");
            }
            if (NAME.matcher(sum.group(2)).matches()) {
                items.put(
                        sum.group(2), new Item(sum.group(2), OptionalLong.empty(), ContentDigest.sha256(sum.group(1))));
            }
        }
        return new ModelListing(wish, "", items);
    }

    private static List<String> lines(ModelWish wish, Path sums) throws IOException, AdapterRefusal {
        try {
            return Files.readAllLines(sums, StandardCharsets.UTF_8);
        } catch (CharacterCodingException isNoText) {
            throw unclear(wish, "is not UTF-8");
        }
    }

    private static AdapterRefusal unclear(ModelWish wish, String how) {
        return new AdapterRefusal(Kind.SOURCE_FAILED, "what " + wish.source() + " says of its files " + how);
    }

    /** @param said what the file is, for a sentence */
    static JsonNode tree(Path file, String said) throws AdapterRefusal, IOException {
        try {
            return JSON.readTree(file.toFile());
        } catch (JacksonException malformed) {
            throw new AdapterRefusal(Kind.SOURCE_FAILED, said + " is not JSON");
        }
    }

    /** What was kept for this wish; empty where there is nothing. */
    static Optional<ModelListing> kept(ModelWish wish, Path folder) throws AdapterRefusal, IOException {
        Path file = folder.resolve(FILE);
        if (!Files.exists(file)) {
            return Optional.empty();
        }
        JsonNode root = tree(file, file.toString());
        Map<String, Item> items = new LinkedHashMap<>();
        for (JsonNode node : root.path("files")) {
            String name = node.path("name").asText();
            OptionalLong bytes =
                    node.has("bytes") ? OptionalLong.of(node.path("bytes").asLong()) : OptionalLong.empty();
            ContentDigest.Kind kind = node.has("sha256") ? ContentDigest.Kind.SHA256 : ContentDigest.Kind.GIT_BLOB;
            String hex = node.path(kind == ContentDigest.Kind.SHA256 ? "sha256" : "git")
                    .asText();
            items.put(name, new Item(name, bytes, new ContentDigest(kind, hex)));
        }
        return Optional.of(new ModelListing(wish, root.path("revision").asText(), items));
    }

    void keep(Path folder) throws IOException {
        ObjectNode root = JSON.createObjectNode().put("source", wish.source()).put("revision", revision);
        ArrayNode files = root.putArray("files");
        for (Item item : items.values()) {
            ObjectNode node = files.addObject().put("name", item.name());
            item.bytes().ifPresent(bytes -> node.put("bytes", bytes));
            node.put(
                    item.digest().kind() == ContentDigest.Kind.SHA256 ? "sha256" : "git",
                    item.digest().hex());
        }
        Path partial = folder.resolve(FILE + ".partial");
        Files.write(partial, JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(root));
        Files.move(partial, folder.resolve(FILE), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }
}
