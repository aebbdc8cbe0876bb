package io.chorale.arch;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;

/** The arrows and bans of docs/ARCHITECTURE.md, "Who may see whom". */
class ArchitectureTest {
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("io.chorale");

    /** For each package, what of ours it may see besides itself. */
    private static final Map<String, List<String>> ARROWS = Map.ofEntries(
            Map.entry("core", List.of()),
            Map.entry("access", List.of("core")),
            Map.entry("platform", List.of()),
            Map.entry("workload", List.of()),
            Map.entry("simulate", List.of("engine", "workload", "core")),
            Map.entry("engine", List.of("platform", "core")),
            Map.entry("adapter", List.of("engine", "core")),
            Map.entry("serving", List.of("engine", "adapter", "core")),
            Map.entry("text", List.of("platform", "core")),
            Map.entry("api", List.of("access", "serving", "adapter", "text", "simulate", "core")),
            Map.entry("ops", List.of("access", "serving", "adapter", "engine", "core")),
            Map.entry("config", List.of("core")));

    /** What nobody may see: they see everything. */
    private static final Set<String> OUTERMOST = Set.of("boot", "bench");

    @Test
    void shouldFollowTheArrows() {
        Set<String> packages = CLASSES.stream()
                .map(type -> type.getPackageName().split("\\.")[2])
                .collect(Collectors.toCollection(TreeSet::new));
        Set<String> known = new TreeSet<>(ARROWS.keySet());
        known.addAll(OUTERMOST);
        Assertions.assertEquals(known, packages, "packages with arrows, and packages");
        ARROWS.forEach((from, mayImport) -> {
            String[] forbidden = packages.stream()
                    .filter(other -> !other.equals(from) && !mayImport.contains(other))
                    .map(other -> "io.chorale." + other + "..")
                    .toArray(String[]::new);
            noClasses()
                    .that()
                    .resideInAPackage("io.chorale." + from + "..")
                    .should()
                    .dependOnClassesThat()
                    .resideInAnyPackage(forbidden)
                    .check(CLASSES);
        });
    }

    @Test
    void shouldKeepTheEnginePortFreeOfItsImplementations() {
        noClasses()
                .that()
                .resideInAPackage("io.chorale.engine")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.chorale.engine.sim..", "io.chorale.engine.jni..")
                .check(CLASSES);
    }

    @Test
    void shouldHaveNoCycles() {
        slices().matching("io.chorale.(**)").should().beFreeOfCycles().check(CLASSES);
    }

    @Test
    void shouldKeepTheCoreAPureFunctionOfItsArguments() {
        noClasses()
                .that()
                .resideInAPackage("io.chorale.core..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "java.io..",
                        "java.nio..",
                        "java.net..",
                        "java.time..",
                        "java.util.concurrent..",
                        "java.util.logging..",
                        "org.jboss..",
                        "jakarta..",
                        "io.smallrye..",
                        "io.quarkus..")
                .check(CLASSES);
        noClasses()
                .that()
                .resideInAPackage("io.chorale.core..")
                .should()
                .dependOnClassesThat()
                .belongToAnyOf(Thread.class, java.util.HashMap.class, java.util.HashSet.class, java.util.Random.class)
                .orShould()
                .callMethod(System.class, "nanoTime")
                .orShould()
                .callMethod(System.class, "currentTimeMillis")
                .orShould()
                .callMethod(Math.class, "random")
                .check(CLASSES);
    }

    @Test
    void shouldKeepMutinyAndHttpAtTheEdge() {
        noClasses()
                .that()
                .resideOutsideOfPackages("io.chorale.api..", "io.chorale.boot..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.smallrye.mutiny..", "jakarta.ws.rs..", "io.vertx..")
                .check(CLASSES);
    }

    @Test
    void shouldKeepJavaCppInOnePackage() {
        noClasses()
                .that()
                .resideOutsideOfPackage("io.chorale.engine.jni..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("org.bytedeco..")
                .check(CLASSES);
    }

    @Test
    void shouldKeepMicrometerInOpsAndConfigurationInConfigAndBoot() {
        noClasses()
                .that()
                .resideOutsideOfPackages("io.chorale.ops..", "io.chorale.boot..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("io.micrometer..")
                .check(CLASSES);
        noClasses()
                .that()
                .resideOutsideOfPackages("io.chorale.config..", "io.chorale.boot..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.smallrye.config..", "org.eclipse.microprofile.config..")
                .check(CLASSES);
    }

    @Test
    void shouldNeverPrintFromTheService() {
        noClasses()
                .that(new DescribedPredicate<>("are not commands of the shell script") {
                    @Override
                    public boolean test(JavaClass type) {
                        return !type.getName().startsWith("io.chorale.bench.")
                                && !type.getSimpleName().endsWith("Command");
                    }
                })
                .should()
                .accessField(System.class, "out")
                .orShould()
                .accessField(System.class, "err")
                .check(CLASSES);
    }

    @Test
    void shouldNameNothingManagerHelperUtilOrImpl() {
        classes()
                .should()
                .haveSimpleNameNotEndingWith("Manager")
                .andShould()
                .haveSimpleNameNotEndingWith("Helper")
                .andShould()
                .haveSimpleNameNotEndingWith("Util")
                .andShould()
                .haveSimpleNameNotEndingWith("Utils")
                .andShould()
                .haveSimpleNameNotEndingWith("Impl")
                .check(CLASSES);
    }

    @Test
    void shouldDescribeEveryPackage() throws IOException {
        try (Stream<Path> folders = Files.walk(Path.of("src/main/java/io/chorale"))) {
            List<Path> undescribed = folders.filter(Files::isDirectory)
                    .filter(ArchitectureTest::holdsClasses)
                    .filter(folder -> !Files.exists(folder.resolve("package-info.java")))
                    .toList();
            Assertions.assertEquals(List.of(), undescribed, "packages without package-info.java");
        }
    }

    private static boolean holdsClasses(Path folder) {
        try (Stream<Path> files = Files.list(folder)) {
            return files.anyMatch(file -> file.toString().endsWith(".java"));
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
