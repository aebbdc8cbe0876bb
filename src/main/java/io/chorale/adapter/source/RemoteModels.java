package io.chorale.adapter.source;

import com.fasterxml.jackson.databind.JsonNode;
import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.AdapterRefusal.Kind;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLockInterruptionException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * Fetches base models into folders that stay: what is there already is not fetched again, what broke off is taken up, and
 * what a revision stood for the first time it stands for at every later start. Each file is held against the digest that
 * the source told beforehand. Several processes may share the folders; one of them fetches.
 */
public final class RemoteModels {
    private static final String CONFIG = "config.json";
    private static final String WEIGHTS = "model.safetensors";
    private static final String INDEX = "model.safetensors.index.json";
    private static final String SUMS = "SHA256SUMS";
    private static final String LOCK = "lock";

    /** What is read of a model beside its weights; only the first must be there. */
    private static final List<String> SMALL_FILES = List.of(
            CONFIG,
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "chat_template.jinja",
            "chat_template.json");

    private static final long LISTING_BYTES_MAX = 64L << 20;

    /** Longer than a source may send nothing. */
    private static final int END_SECONDS_MAX = 30;

    /** For other files of the same disk. */
    private static final long SPARE_BYTES = 64L << 20;

    /**
     * The bounds.
     *
     * @param bytesMax of one model's files
     * @param filesAtOnce that are fetched at the same time
     * @param slice how long one attempt goes on before the next takes over
     */
    public record Limits(long bytesMax, int filesAtOnce, Duration slice) {}

    private final SourceClient client;
    private final Limits limits;

    public RemoteModels(SourceClient client, Limits limits) {
        this.client = client;
        this.limits = limits;
    }

    /**
     * A folder with the model's files. Blocks until they are there.
     *
     * @param shelf the folder of all models
     * @throws AdapterRefusal saying what is wrong with the wish, the source or the disk
     */
    public Path fetch(ModelWish wish, Path shelf, FetchProgress progress) throws AdapterRefusal, IOException {
        client.requireAllowed(wish.source(), "models are");
        Path folder = Files.createDirectories(shelf.resolve(wish.folderName()));
        try (FileChannel channel =
                FileChannel.open(folder.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            lock(channel, wish, progress);
            new Fetch(wish, folder, progress).run();
            return folder;
        }
    }

    /** Until the channel is closed. */
    private static void lock(FileChannel channel, ModelWish wish, FetchProgress progress)
            throws AdapterRefusal, IOException {
        if (channel.tryLock() == null) {
            progress.begin("another process fetches " + wish.source());
            try {
                channel.lock();
            } catch (FileLockInterruptionException stopped) {
                throw new AdapterRefusal(Kind.SOURCE_FAILED, "stopped while another process fetches " + wish.source());
            }
        }
    }

    /** One model on its way. */
    private final class Fetch {
        private final ModelWish wish;
        private final Path folder;
        private final FetchProgress progress;

        Fetch(ModelWish wish, Path folder, FetchProgress progress) {
            this.wish = wish;
            this.folder = folder;
            this.progress = progress;
        }

        void run() throws AdapterRefusal, IOException {
            progress.begin("asking for " + wish.source());
            Optional<ModelListing> kept = ModelListing.kept(wish, folder);
            ModelListing listing = kept.isPresent() ? kept.get() : askedAnew();
            boolean isSharded = !listing.items().containsKey(WEIGHTS);
            List<ModelListing.Item> small = Stream.concat(
                            SMALL_FILES.stream(), isSharded ? Stream.of(INDEX) : Stream.empty())
                    .filter(listing.items()::containsKey)
                    .map(listing.items()::get)
                    .toList();
            String commit = listing.revision().isEmpty() ? "" : " (commit " + listing.revision() + ")";
            progress.begin("fetching " + wish.source() + commit);
            bring(listing, small);
            List<ModelListing.Item> all = new ArrayList<>(small);
            all.addAll(isSharded ? shards(listing) : List.of(listing.items().get(WEIGHTS)));
            if (kept.isEmpty()) {
                // From here on the wish stands for these files.
                listing.keep(folder);
            }
            bring(listing, all);
        }

        /** What is here without a list may be of another commit, and goes. */
        private ModelListing askedAnew() throws AdapterRefusal, IOException {
            try (Stream<Path> files = Files.list(folder)) {
                for (Path file : files.filter(file -> !file.endsWith(LOCK)).toList()) {
                    Files.delete(file);
                }
            }
            ModelListing listing = asked();
            checkIsModel(listing);
            return listing;
        }

        private ModelListing asked() throws AdapterRefusal, IOException {
            Path answer = Files.createTempFile(folder, "listing", ".part");
            try {
                return wish.isOnHub() ? askedHub(answer) : askedFolder(answer);
            } finally {
                Files.deleteIfExists(answer);
            }
        }

        private ModelListing askedHub(Path answer) throws AdapterRefusal, IOException {
            HubRepository repository = HubRepository.of(wish.source());
            complete(client.download(client.onHub(repository.listing()), answer, LISTING_BYTES_MAX));
            return ModelListing.ofHub(wish, answer);
        }

        private ModelListing askedFolder(Path answer) throws AdapterRefusal, IOException {
            complete(client.download(client.at(wish.source() + SUMS), answer, LISTING_BYTES_MAX));
            SourceClient.check(ContentDigest.sha256(wish.sha256().orElseThrow()), answer, wish.source() + SUMS);
            return ModelListing.ofSums(wish, answer);
        }

        private void checkIsModel(ModelListing listing) throws AdapterRefusal {
            if (!listing.items().containsKey(CONFIG)) {
                throw new AdapterRefusal(Kind.INVALID, wish.source() + " has no " + CONFIG + ": it is no model");
            }
            if (!listing.items().containsKey(WEIGHTS) && !listing.items().containsKey(INDEX)) {
                boolean isPickled = listing.items().keySet().stream().anyMatch(name -> name.endsWith(".bin"));
                throw new AdapterRefusal(
                        Kind.INVALID,
                        wish.source() + " has neither " + WEIGHTS + " nor " + INDEX
                                + (isPickled ? "; its weights are pickled, and reading those can run code" : ""));
            }
        }

        /** The files that the index names. */
        private List<ModelListing.Item> shards(ModelListing listing) throws AdapterRefusal, IOException {
            TreeSet<String> names = new TreeSet<>();
            JsonNode index = ModelListing.tree(folder.resolve(INDEX), INDEX + " of " + wish.source());
            for (JsonNode shard : index.path("weight_map")) {
                names.add(shard.asText());
            }
            List<ModelListing.Item> shards = new ArrayList<>();
            for (String name : names) {
                ModelListing.Item item = listing.items().get(name);
                if (item == null) {
                    throw new AdapterRefusal(
                            Kind.INVALID, wish.source() + " has no file '" + name + "', which its " + INDEX + " names");
                }
                shards.add(item);
            }
            return shards;
        }

        /** Fetches what is not there, several files at once; the first that fails ends all. */
        private void bring(ModelListing listing, List<ModelListing.Item> items) throws AdapterRefusal, IOException {
            List<ModelListing.Item> missing = missing(items);
            if (missing.isEmpty()) {
                return;
            }
            ExecutorService workers = Executors.newFixedThreadPool(
                    Math.min(limits.filesAtOnce(), missing.size()),
                    Thread.ofPlatform().daemon().name("model-fetch-", 0).factory());
            try {
                ExecutorCompletionService<ModelListing.Item> done = new ExecutorCompletionService<>(workers);
                missing.forEach(item -> done.submit(() -> {
                    bring(listing, item);
                    return item;
                }));
                for (int i = 0; i < missing.size(); i++) {
                    done.take().get();
                }
            } catch (ExecutionException failed) {
                switch (failed.getCause()) {
                    case AdapterRefusal refusal -> throw refusal;
                    case IOException unwritable -> throw unwritable;
                    case null, default -> throw new IllegalStateException(failed);
                }
            } catch (InterruptedException stopped) {
                Thread.currentThread().interrupt();
                throw new AdapterRefusal(Kind.SOURCE_FAILED, "stopped while fetching " + wish.source());
            } finally {
                end(workers);
            }
        }

        /** Nobody writes here any more when the lock is given back, also when we are told to stop. */
        private void end(ExecutorService workers) {
            workers.shutdownNow();
            boolean stopped = Thread.interrupted();
            try {
                workers.awaitTermination(END_SECONDS_MAX, TimeUnit.SECONDS);
            } catch (InterruptedException again) {
                stopped = true;
            } finally {
                if (stopped) {
                    Thread.currentThread().interrupt();
                }
            }
        }

        /** Counts what there is and is to come, and refuses to begin what can not end well. */
        private List<ModelListing.Item> missing(List<ModelListing.Item> items) throws AdapterRefusal, IOException {
            List<ModelListing.Item> missing = new ArrayList<>();
            long total = 0;
            long here = 0;
            for (ModelListing.Item item : items) {
                Path whole = folder.resolve(item.name());
                Path part = part(item);
                long bytes = item.bytes().orElse(Files.exists(whole) ? Files.size(whole) : 0);
                total += bytes;
                if (item.isIn(folder)) {
                    here += bytes;
                } else {
                    here += Files.exists(part) ? Files.size(part) : 0;
                    missing.add(item);
                }
            }
            if (total > limits.bytesMax()) {
                throw tooLarge(total);
            }
            long free = Files.getFileStore(folder).getUsableSpace() - SPARE_BYTES;
            if (total - here > free) {
                throw new AdapterRefusal(
                        Kind.TOO_LARGE,
                        wish.source() + " does not fit: " + FetchProgress.megabytes(total - here)
                                + " MB are still to come, and " + folder.getParent() + " has "
                                + FetchProgress.megabytes(Math.max(0, free)) + " MB to spare" + others());
            }
            boolean isKnown = items.stream().allMatch(item -> item.bytes().isPresent());
            progress.expect(isKnown ? total : 0);
            progress.gained(here - progress.bytes());
            return missing;
        }

        private AdapterRefusal tooLarge(long bytes) {
            return new AdapterRefusal(
                    Kind.TOO_LARGE,
                    wish.source() + " has " + FetchProgress.megabytes(bytes) + " MB; "
                            + FetchProgress.megabytes(limits.bytesMax())
                            + " are allowed (chorale.model.fetch-bytes-max)");
        }

        /** Models that were fetched before, which an operator might do without. */
        private String others() throws IOException {
            try (Stream<Path> folders = Files.list(folder.toAbsolutePath().getParent())) {
                List<String> names = folders.filter(other -> !other.equals(folder.toAbsolutePath()))
                        .map(other -> String.valueOf(other.getFileName()))
                        .sorted()
                        .toList();
                return names.isEmpty() ? "" : "; it also holds " + String.join(", ", names);
            }
        }

        private Path part(ModelListing.Item item) {
            return folder.resolve(item.name() + ".part");
        }

        private void bring(ModelListing listing, ModelListing.Item item) throws AdapterRefusal, IOException {
            Path part = part(item);
            long before = Files.exists(part) ? Files.size(part) : 0;
            download(listing, item);
            if (!isRight(item, part) && before > 0) {
                // What an earlier start left may have been another file's beginning: once more, from the first byte.
                progress.gained(-Files.size(part));
                Files.delete(part);
                download(listing, item);
            }
            if (!isRight(item, part)) {
                progress.gained(-Files.size(part));
                Files.delete(part);
                throw new AdapterRefusal(
                        Kind.SOURCE_FAILED,
                        item.name() + " of " + wish.source() + " is not what its source says it is: the "
                                + item.digest().kind() + " should be "
                                + item.digest().hex());
            }
            Files.move(part, folder.resolve(item.name()), StandardCopyOption.ATOMIC_MOVE);
        }

        private boolean isRight(ModelListing.Item item, Path part) throws IOException {
            return item.digest().kind().of(part).equalsIgnoreCase(item.digest().hex());
        }

        private void download(ModelListing listing, ModelListing.Item item) throws AdapterRefusal, IOException {
            Path part = part(item);
            OptionalLong bytes = item.bytes();
            if (bytes.isPresent() && Files.exists(part) && Files.size(part) >= bytes.getAsLong()) {
                return;
            }
            if (bytes.isPresent() && bytes.getAsLong() == 0) {
                Files.createFile(part);
                return;
            }
            Download.Wanted wanted = wish.isOnHub()
                    ? client.onHub(HubRepository.of(wish.source())
                            .at(listing.revision())
                            .file(item.name()))
                    : client.at(wish.source() + item.name());
            complete(Download.ofLargeFile(
                    wanted,
                    part,
                    bytes.orElse(limits.bytesMax() - progress.bytes() + (Files.exists(part) ? Files.size(part) : 0)),
                    client.patience(),
                    limits.slice(),
                    progress::gained));
        }

        /** Says of a refusal by the source what the operator can do about it. */
        private void complete(Download download) throws AdapterRefusal {
            try {
                client.complete(download);
            } catch (AdapterRefusal refusal) {
                String reason = wish.isOnHub() ? reasonOnHub(download) : "";
                throw reason.isEmpty()
                        ? refusal
                        : new AdapterRefusal(refusal.kind(), reason + " (" + refusal.message() + ")");
            }
        }

        private String reasonOnHub(Download download) throws AdapterRefusal {
            HubRepository repository = HubRepository.of(wish.source());
            String name = "hf://" + repository.fullName();
            boolean isGated = download.errorCode().equals("GatedRepo") || download.status() == 403;
            if (download.errorCode().equals("RevisionNotFound")) {
                return name + " has no revision '" + repository.revision() + "'";
            } else if (isGated) {
                return name + " is gated: accept its terms at " + client.hub() + "/" + repository.fullName()
                        + ", and set chorale.sources.hub-token to a token of that account";
            } else if (download.status() == 401) {
                return name + " does not exist or is private: chorale.sources.hub-token must be a token of an account"
                        + " that may read it";
            } else if (download.status() == 404) {
                return name + " does not exist, or has no revision '" + repository.revision() + "'";
            }
            return "";
        }
    }
}
