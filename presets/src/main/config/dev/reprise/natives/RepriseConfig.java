package dev.reprise.natives;

import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;
import org.bytedeco.javacpp.tools.Info;
import org.bytedeco.javacpp.tools.InfoMap;
import org.bytedeco.javacpp.tools.InfoMapper;

/** Tells JavaCPP how to map {@code reprise.h} to the class {@code dev.reprise.natives.reprise}. */
@Properties(
        value = @Platform(value = "linux-x86_64", cinclude = "reprise.h"),
        target = "dev.reprise.natives",
        global = "dev.reprise.natives.reprise")
public class RepriseConfig implements InfoMapper {
    /** For JavaCPP. */
    public RepriseConfig() {}

    @Override
    public void map(InfoMap infoMap) {
        infoMap.put(new Info("REPRISE_API").cppTypes().annotations());
        infoMap.put(new Info("reprise_handle").cast().valueTypes("long").pointerTypes("LongPointer", "long[]"));
        // Text is UTF-8 bytes. A String would be encoded in the JVM's default charset, so there is no such overload.
        infoMap.put(
                new Info("const char")
                        .valueTypes("@Cast(\"const char\") byte")
                        .pointerTypes("@Cast(\"const char*\") BytePointer", "@Cast(\"const char*\") byte[]"));
    }
}
