package io.chorale.adapter;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;

/** {@code chorale pack MODEL [ADAPTERS] OUT}: writes a model and a folder of adapters as one image for the C++ tools. */
public final class PackCommand {
    private static final String USAGE = """
            usage: chorale pack MODEL [ADAPTERS] OUT
              MODEL     folder of a model: config.json and safetensors files
              ADAPTERS  folder whose sub-folders are adapters of that model
              OUT       file to write""";

    private PackCommand() {}

    public static void main(String[] args) {
        System.exit(run(List.of(args), System.out, System.err));
    }

    /** Returns the exit status: 0 done, 1 a file was refused or could not be written, 2 wrong usage. */
    static int run(List<String> args, PrintStream out, PrintStream err) {
        if (args.size() < 2 || args.size() > 3) {
            err.println(USAGE);
            return 2;
        }
        try {
            Path image = Path.of(args.getLast());
            Path modelFolder = Path.of(args.getFirst());
            ModelFiles model = ModelFiles.open(modelFolder);
            ModelShape shape = model.shape();
            out.printf(
                    "%s: %s, %d layers, hidden %d, %,d bytes of weights%n",
                    modelFolder, shape.family(), shape.layers(), shape.hidden(), model.weightBytes());
            String name = ModelFiles.nameOf(modelFolder);
            PackWriter pack = new PackWriter(name, model);
            if (args.size() == 3) {
                addAdapters(Path.of(args.get(1)), name, shape, pack, out);
            }
            out.printf("%s: %,d bytes written%n", image, pack.write(image));
            return 0;
        } catch (FileRejectedException rejected) {
            rejected.problems().forEach(problem -> err.println("refused: " + problem));
            return 1;
        } catch (IOException failed) {
            err.println("failed: " + JsonText.reason(failed));
            return 1;
        }
    }

    private static void addAdapters(Path folder, String modelName, ModelShape shape, PackWriter pack, PrintStream out)
            throws FileRejectedException {
        AdapterFolder adapters = new AdapterFolder(shape);
        for (AdapterEntry entry : adapters.scan(folder, new AdapterRegistry())) {
            if (!entry.usable()) {
                throw new FileRejectedException(entry.problems());
            }
            if (entry.name().equals(modelName)) {
                throw new FileRejectedException(entry.directory() + ": has the model's name");
            }
            pack.add(entry.name(), PeftAdapter.open(entry.directory(), shape));
            out.printf(
                    "%s: rank %d on %s, %,d bytes%n",
                    entry.name(), entry.rank(), String.join(", ", entry.targets()), entry.weightBytes());
        }
    }
}
