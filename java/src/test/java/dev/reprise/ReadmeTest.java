package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.StringWriter;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.JavaFileObject.Kind;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The programs in README.md compile as they are written there, in a method that may throw anything. */
class ReadmeTest {
    private static final String IMPORTS =
            "import dev.reprise.*; import java.nio.file.*; import java.time.*; import java.util.*;";

    @Test
    void itsProgramsCompile(@TempDir Path folder) throws IOException {
        String readme = Files.readString(Path.of(System.getProperty("basedir", "."), "../README.md"));
        Matcher programs = Pattern.compile("(?ms)^```java\\n(.*?)^```").matcher(readme);
        StringBuilder source = new StringBuilder(IMPORTS).append("\nclass Readme {\n");
        int count = 0;
        while (programs.find()) {
            source.append("static void program").append(++count).append("() throws Exception {\n")
                    .append(programs.group(1)).append("}\n");
        }
        assertTrue(count >= 3, count + " programs");
        assertEquals("", errors(source.append("}\n").toString(), folder));
    }

    private static String errors(String source, Path folder) {
        JavaFileObject file = new SimpleJavaFileObject(URI.create("string:///Readme.java"), Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoreEncodingErrors) {
                return source;
            }
        };
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StringWriter messages = new StringWriter();
        boolean compiled = compiler.getTask(messages, null, null,
                List.of("-d", folder.toString(), "-proc:none", "-classpath", System.getProperty("java.class.path")),
                null, List.of(file)).call();
        return compiled ? "" : messages.append(source).toString();
    }
}
