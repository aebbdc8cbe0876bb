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
 * @param names that it goes by: the one that clients ask for, and those that tell where it is from
 * @param text empty where there is no tokenizer: token ids are served
 * @param endTokens that end an answer
 * @param directory of its files; empty where it is built in
 * @param adaptersBeside a folder of adapters that lies where adapters are looked for when nothing is said
 */
record BaseModel(
        ModelFiles files,
        String name,
        String root,
        List<String> names,
        Optional<TextModel> text,
        int[] endTokens,
        Optional<Path> directory,
        Optional<Path> adaptersBeside) {

    /** @throws TextException naming what is wrong with the tokenizer's files */
    static BaseModel read(ModelSettings settings, Optional<Fetched> fetched) throws FileRejectedException {
        Optional<BuiltInModel> builtIn = settings.loadFormat() == ModelSettings.LoadFormat.DUMMY
                ? settings.dummy().shape().flatMap(BuiltInModel::of)
                : Optional.empty();
        return builtIn.isPresent() ? builtIn(builtIn.get(), settings) : inFolder(settings, fetched);
    }

    /**
     * A model that came from another machine.
     *
     * @param source as the settings name it
     * @param name of the repository or folder there
     */
    record Fetched(Path directory, String source, String name) {}

    private static BaseModel builtIn(BuiltInModel model, ModelSettings settings) throws FileRejectedException {
        String name = settings.name().orElse(model.label());
        return new BaseModel(
                ModelFiles.dummy(model, settings.dummy().seed()),
                name,
                model.label(),
                List.of(name, model.label()),
                Optional.empty(),
                new int[0],
                Optional.empty(),
                Optional.empty());
    }

    private static BaseModel inFolder(ModelSettings settings, Optional<Fetched> fetched) throws FileRejectedException {
        Path directory = fetched.map(Fetched::directory).orElse(settings.dir());
        ModelFiles files = switch (settings.loadFormat()) {
            case FILES -> ModelFiles.open(directory);
            case DUMMY -> ModelFiles.dummy(directory, settings.dummy().seed());
        };
        Optional<TextModel> text = TextModel.load(directory);
        String ownName = fetched.map(Fetched::name).orElseGet(() -> ModelFiles.nameOf(directory));
        String name = settings.name().orElse(ownName);
        return new BaseModel(
                files,
                name,
                fetched.map(Fetched::source).orElse(directory.toString()),
                List.of(name, ownName, directory.toString()),
                text,
                ModelDirectory.endTokens(directory, text),
                Optional.of(directory),
                fetched.isPresent() ? Optional.empty() : ModelDirectory.adaptersBeside(directory));
    }
}
