package io.chorale.adapter.source;

import io.chorale.adapter.AdapterArchive;
import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.AdapterRefusal.Kind;
import io.chorale.adapter.AdapterSources;
import io.chorale.adapter.FileRejectedException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Fetches adapters from where the operator allows it:
 *
 * <pre>
 * hf://ORG/NAME or hf://ORG/NAME@REVISION    the two files of a repository of the Hugging Face hub
 * https://HOST/PATH, http://HOST/PATH        an archive, which must have a given SHA-256
 * s3://BUCKET/KEY                            the same in a bucket
 * </pre>
 */
public final class RemoteSources implements AdapterSources {
    private static final String CONFIG = "adapter_config.json";
    private static final String WEIGHTS = "adapter_model.safetensors";
    private static final long CONFIG_BYTES_MAX = 1L << 20;

    private final SourceClient client;

    public RemoteSources(SourceClient client) {
        this.client = client;
    }

    @Override
    public boolean knows(String source) {
        return SourceClient.knows(source);
    }

    @Override
    public void fetch(String source, Optional<String> sha256, Path into, long bytesMax)
            throws AdapterRefusal, FileRejectedException, IOException {
        client.requireAllowed(source, "adapters are");
        if (source.startsWith(HubRepository.SCHEME)) {
            fromHub(HubRepository.of(source), sha256, into, bytesMax);
        } else {
            String digest = sha256.orElseThrow(
                    () -> new AdapterRefusal(Kind.MALFORMED, "a source of this kind needs its 'sha256'"));
            archive(client.at(source), digest, into, bytesMax);
        }
    }

    private void fromHub(HubRepository repository, Optional<String> sha256, Path into, long bytesMax)
            throws AdapterRefusal, IOException {
        Download config = fetch(
                client.onHub(repository.file(CONFIG)), into.resolve(CONFIG), Math.min(bytesMax, CONFIG_BYTES_MAX));
        Download.Wanted wanted = client.onHub(repository.file(WEIGHTS));
        Download weights = fetch(wanted, into.resolve(WEIGHTS), bytesMax - config.bytes());
        Optional<String> expected = sha256.or(weights::toldSha256);
        if (expected.isPresent()) {
            SourceClient.check(
                    ContentDigest.sha256(expected.get()),
                    into.resolve(WEIGHTS),
                    wanted.uri().toString());
        }
    }

    private void archive(Download.Wanted wanted, String sha256, Path into, long bytesMax)
            throws AdapterRefusal, FileRejectedException, IOException {
        Path archive = into.resolve("archive");
        fetch(wanted, archive, bytesMax);
        SourceClient.check(ContentDigest.sha256(sha256), archive, wanted.uri().getPath());
        try (InputStream in = Files.newInputStream(archive)) {
            AdapterArchive.unpack(in, into, bytesMax);
        } catch (AdapterArchive.TooLargeException tooLarge) {
            throw new AdapterRefusal(Kind.TOO_LARGE, String.valueOf(tooLarge.getMessage()));
        }
        Files.delete(archive);
    }

    private Download fetch(Download.Wanted wanted, Path into, long bytesMax) throws AdapterRefusal {
        Download download = client.download(wanted, into, bytesMax);
        client.complete(download);
        return download;
    }
}
