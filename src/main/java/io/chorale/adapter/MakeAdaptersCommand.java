package io.chorale.adapter;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;

/** {@code chorale make-adapters MODEL OUT COUNT [RANK [TARGETS]]}: makes adapters of random weights, for measuring. */
public final class MakeAdaptersCommand {
    private static final String USAGE = """
            usage: chorale make-adapters MODEL OUT COUNT [RANK [TARGETS]]
              MODEL    folder of a model
              OUT      folder that gets COUNT sub-folders, one an adapter
              RANK     4 where it is not given
              TARGETS  q_proj,v_proj where it is not given""";

    private MakeAdaptersCommand() {}

    public static void main(String[] args) {
        System.exit(run(List.of(args), System.out, System.err));
    }

    /** Returns the exit status: 0 done, 1 something was refused or could not be written, 2 wrong usage. */
    static int run(List<String> args, PrintStream out, PrintStream err) {
        if (args.size() < 3 || args.size() > 5) {
            err.println(USAGE);
            return 2;
        }
        try {
            int count = Integer.parseInt(args.get(2));
            int rank = args.size() > 3 ? Integer.parseInt(args.get(3)) : 4;
            List<String> targets = List.of((args.size() > 4 ? args.get(4) : "q_proj,v_proj").split(",", -1));
            if (count < 1 || rank < 1 || rank > PeftConfig.RANK_MAX) {
                err.println("refused: COUNT must be at least 1, RANK from 1 to " + PeftConfig.RANK_MAX);
                return 2;
            }
            Path model = Path.of(args.getFirst());
            ModelShape shape = ModelFiles.open(model).shape();
            new AdapterMaker(shape, model.toString(), rank, targets).make(Path.of(args.get(1)), "adapter", count);
            out.printf("%s: %,d adapters of rank %d on %s%n", args.get(1), count, rank, String.join(", ", targets));
            return 0;
        } catch (NumberFormatException notANumber) {
            err.println("refused: COUNT and RANK must be numbers");
            return 2;
        } catch (FileRejectedException rejected) {
            rejected.problems().forEach(problem -> err.println("refused: " + problem));
            return 1;
        } catch (IOException failed) {
            err.println("failed: " + JsonText.reason(failed));
            return 1;
        }
    }
}
