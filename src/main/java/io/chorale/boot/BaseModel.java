package io.chorale.boot;

import io.chorale.adapter.BuiltInModel;
import io.chorale.adapter.FileRejectedException;
import io.chorale.adapter.ModelFiles;
import io.chorale.config.ModelSettings;
import io.chorale.text.TextException;
import io.chorale.text.TextModel;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * The base model as the settings name it.
 *
 * @param name that clients ask for
 * @param root where it is from, for clients and people
 * @param text empty where there is no tokenizer: token ids are served
 * @param endTokens that end an answer
 * @param adaptersBeside a folder of adapters that lies where adapters are looked for when nothing is said
 */
record BaseModel(
        ModelFiles files,
        String name,
        String root,
        Optional<TextModel> text,
        int[] endTokens,
        Optional<Path> adaptersBeside) {

    /** What it goes by: the name that clients ask for, and where it is from. */
    List<String> names() {
        return List.of(name, root, ModelDirectory.nameOf(Path.of(root)));
    }

    /** @throws TextException naming what is wrong with the tokenizer's files */
    static BaseModel read(ModelSettings settings) throws FileRejectedException {
        Optional<BuiltInModel> builtIn = settings.loadFormat() == ModelSettings.LoadFormat.DUMMY
                ? settings.dummy().shape().flatMap(BuiltInModel::of)
                : Optional.empty();
        return builtIn.isPresent() ? builtIn(builtIn.get(), settings) : inFolder(settings);
    }

    private static BaseModel builtIn(BuiltInModel model, ModelSettings settings) throws FileRejectedException {
        return new BaseModel(
                ModelFiles.dummy(model, settings.dummy().seed()),
                settings.name().orElse(model.label()),
                model.label(),
                Optional.empty(),
                new int[0],
                Optional.empty());
    }

    private static BaseModel inFolder(ModelSettings settings) throws FileRejectedException {
        Path directory = settings.dir();
        ModelFiles files = switch (settings.loadFormat()) {
            case FILES -> ModelFiles.open(directory);
            case DUMMY -> ModelFiles.dummy(directory, settings.dummy().seed());
        };
        Optional<TextModel> text = TextModel.load(directory);
        return new BaseModel(
                files,
                settings.name().orElseGet(() -> ModelDirectory.nameOf(directory)),
                directory.toString(),
                text,
                ModelDirectory.endTokens(directory, text),
                ModelDirectory.adaptersBeside(directory));
    }
}
