package io.chorale.access;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;

class KeyringTest {
    /** The digest of "secret". */
    private static final String DIGEST = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    private static Keyring.Entry entry(String key, String id, boolean admin) {
        return new Keyring.Entry(key, new Identity(id, "t", false, admin, AdapterScope.ALL));
    }

    @Test
    void shouldFindHoldersByTheirKeysAlone() {
        Keyring keyring = new Keyring(List.of(entry("k1", "one", false), entry("k2", "two", true)));
        assertEquals("one", keyring.find("k1").orElseThrow().id());
        assertTrue(keyring.find("k2").orElseThrow().admin());
        for (String wrong : List.of("", "K1", "k1 ", "k3")) {
            assertTrue(keyring.find(wrong).isEmpty(), wrong);
        }
    }

    @Test
    void shouldTakeADigestForTheKeyAndNotAsTheKey() {
        for (String written : List.of(DIGEST, DIGEST.toUpperCase(Locale.ROOT))) {
            Keyring keyring = new Keyring(List.of(entry("sha256:" + written, "one", false)));
            assertEquals("one", keyring.find("secret").orElseThrow().id());
            assertTrue(keyring.find("sha256:" + written).isEmpty(), "who reads the settings has no key");
            assertTrue(keyring.find(written).isEmpty());
        }
        assertEquals(Keyring.digestOf("secret"), Keyring.digestOf("sha256:" + DIGEST));
        assertTrue(Keyring.isUsable("sha256:" + DIGEST));
        for (String wrong : List.of("", " ", "sha256:", "sha256:12", "sha256:" + DIGEST + "0")) {
            assertFalse(Keyring.isUsable(wrong), wrong);
        }
    }

    @Test
    void shouldBeOpenToClientsWhileOnlyAdministratorsHaveKeys() {
        Keyring keyring = new Keyring(List.of());
        assertFalse(keyring.wantsKeys());
        assertFalse(keyring.hasAdministrators());
        keyring.replace(List.of(entry("a", "admin", true)));
        assertFalse(keyring.wantsKeys());
        assertTrue(keyring.hasAdministrators());
        keyring.replace(List.of(entry("c", "client", false)));
        assertTrue(keyring.wantsKeys());
        assertFalse(keyring.hasAdministrators());
        assertTrue(keyring.find("a").isEmpty(), "replaced as a whole");
    }

    @Test
    void shouldKeepWhatItHasWhenOneKeyHasTwoHolders() {
        Keyring keyring = new Keyring(List.of(entry("k", "one", false)));
        assertThrows(
                IllegalArgumentException.class,
                () -> keyring.replace(List.of(entry("secret", "one", false), entry("sha256:" + DIGEST, "two", false))));
        assertEquals("one", keyring.find("k").orElseThrow().id());
    }

    @Test
    void shouldNotLetEverybodyInWhenTheLastKeyIsGone() {
        Keyring keyring = new Keyring(List.of(entry("k", "one", false), entry("a", "admin", true)));
        for (List<Keyring.Entry> none : List.<List<Keyring.Entry>>of(List.of(), List.of(entry("a", "admin", true)))) {
            assertThrows(IllegalArgumentException.class, () -> keyring.replace(none));
            assertTrue(keyring.wantsKeys());
            assertEquals("one", keyring.find("k").orElseThrow().id());
        }
    }

    @Test
    void shouldNotTellKeysInText() {
        assertFalse(entry("hunter2", "one", false).toString().contains("hunter2"));
    }

    @Test
    void shouldAllowNamesAndBeginnings() {
        AdapterScope scope = new AdapterScope.Only(List.of("support", "acme-*"));
        for (String allowed : List.of("support", "acme-", "acme-7")) {
            assertTrue(scope.allows(allowed), allowed);
        }
        for (String hidden : List.of("support-2", "Support", "acme", "other", "")) {
            assertFalse(scope.allows(hidden), hidden);
        }
        assertFalse(new AdapterScope.Only(List.of()).allows("support"));
        assertTrue(new AdapterScope.Only(List.of("*")).allows("support"));
    }
}
