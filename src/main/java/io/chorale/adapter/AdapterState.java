package io.chorale.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;

/**
 * What is to be known of the adapters after a restart, in one small file that is replaced as a whole: whoever reads it
 * finds the old one or the new one.
 *
 * @param names that there is something to say about beyond what their folder says
 */
record AdapterState(List<Name> names, List<AdapterAlias> aliases) {
    static final AdapterState EMPTY = new AdapterState(List.of(), List.of());

    private static final String FILE = "adapters.json";
    private static final int FORMAT = 1;
    private static final JsonMapper JSON = new JsonMapper();

    /**
     * One name.
     *
     * @param loaded it came by the API, and does not go when the watched folder does not have it
     * @param removed it was taken away by the API, and does not come back because the watched folder has it
     * @param versions the oldest first; empty where it was removed
     * @param current index of the version that it points to
     */
    record Name(String name, boolean loaded, boolean removed, boolean pinned, List<Version> versions, int current) {}

    /** One version whose content was read and checked, or whose name has something to remember. */
    record Version(Path directory, String fingerprint, String digest) {}

    /** @throws FileRejectedException where the file is there and is not what this program writes */
    static AdapterState read(Path folder) throws FileRejectedException {
        Path file = folder.resolve(FILE);
        if (!Files.exists(file)) {
            return EMPTY;
        }
        try {
            JsonNode root = JSON.readTree(file.toFile());
            if (root.path("format").asInt() != FORMAT) {
                throw new FileRejectedException(file + ": is not of format " + FORMAT);
            }
            List<Name> names = new ArrayList<>();
            for (JsonNode name : root.path("adapters")) {
                names.add(name(name));
            }
            List<AdapterAlias> aliases = new ArrayList<>();
            for (JsonNode alias : root.path("aliases")) {
                List<AdapterAlias.Share> shares = new ArrayList<>();
                for (JsonNode share : alias.path("shares")) {
                    shares.add(new AdapterAlias.Share(
                            share.path("to").asText(), share.path("weight").asDouble()));
                }
                aliases.add(new AdapterAlias(alias.path("name").asText(), shares));
            }
            return new AdapterState(names, aliases);
        } catch (IOException | IllegalArgumentException unreadable) {
            throw new FileRejectedException(file + ": cannot be read: " + unreadable.getMessage());
        }
    }

    private static Name name(JsonNode node) {
        List<Version> versions = new ArrayList<>();
        for (JsonNode version : node.path("versions")) {
            versions.add(new Version(
                    Path.of(version.path("directory").asText()),
                    version.path("fingerprint").asText(),
                    version.path("digest").asText()));
        }
        return new Name(
                node.path("name").asText(),
                node.path("loaded").asBoolean(),
                node.path("removed").asBoolean(),
                node.path("pinned").asBoolean(),
                versions,
                node.path("current").asInt());
    }

    void write(Path folder) throws IOException {
        Path file = folder.resolve(FILE);
        Path partial = folder.resolve(FILE + ".partial");
        try (FileChannel out = FileChannel.open(
                partial, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            ByteBuffer bytes = ByteBuffer.wrap(JSON.writeValueAsBytes(tree()));
            while (bytes.hasRemaining()) {
                out.write(bytes);
            }
            out.force(true);
        }
        Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private ObjectNode tree() {
        ObjectNode root = JSON.createObjectNode().put("format", FORMAT);
        ArrayNode adapterNodes = root.putArray("adapters");
        for (Name name : names) {
            ObjectNode node = adapterNodes.addObject().put("name", name.name());
            node.put("loaded", name.loaded()).put("removed", name.removed()).put("pinned", name.pinned());
            ArrayNode versionNodes = node.putArray("versions");
            for (Version version : name.versions()) {
                versionNodes
                        .addObject()
                        .put("directory", version.directory().toString())
                        .put("fingerprint", version.fingerprint())
                        .put("digest", version.digest());
            }
            node.put("current", name.current());
        }
        ArrayNode aliasNodes = root.putArray("aliases");
        for (AdapterAlias alias : aliases) {
            ArrayNode shareNodes =
                    aliasNodes.addObject().put("name", alias.name()).putArray("shares");
            alias.shares()
                    .forEach(share ->
                            shareNodes.addObject().put("to", share.to()).put("weight", share.weight()));
        }
        return root;
    }
}
