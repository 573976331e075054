import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main classes of Kafka's command-line tools one after another in one JVM, because starting one costs seconds.
 * Each line on standard input is a command, {"main": class, "arguments": [...], "input": text}; each line on standard
 * output its outcome, {"exitCode": n, "output": text, "errors": text}.
 */
public final class ToolServer {
  /** Ends a tool where it would have ended the JVM. Tools may catch it and exit once more: the first code counts. */
  private static final class Exited extends RuntimeException {
    Exited() {
      super("exit", null, false, false);
    }
  }

  private static Integer exitCode;
  private static final List<Runnable> shutdownHooks = new ArrayList<>();

  private static void exit(int code) {
    if (exitCode == null) exitCode = code;
    throw new Exited();
  }

  /** Standard output and error for good: libraries keep the stream they find at their start. */
  private static final class Switch extends OutputStream {
    volatile OutputStream target = OutputStream.nullOutputStream();

    @Override
    public void write(int value) throws java.io.IOException {
      target.write(value);
    }

    @Override
    public void write(byte[] bytes, int from, int length) throws java.io.IOException {
      target.write(bytes, from, length);
    }
  }

  /** Loads the tools' own classes anew for each command: they keep counts in static fields. */
  private static final class FreshTools extends URLClassLoader {
    FreshTools(URL[] jars) {
      super(jars, ToolServer.class.getClassLoader());
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      synchronized (getClassLoadingLock(name)) {
        if (findLoadedClass(name) == null && name.startsWith("org.apache.kafka.tools.")) {
          try {
            return findClass(name);
          } catch (ClassNotFoundException notATool) {
            return super.loadClass(name, resolve);
          }
        }
        return super.loadClass(name, resolve);
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    PrintStream replies = System.out;
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    Switch output = new Switch();
    Switch errors = new Switch();
    System.setOut(new PrintStream(output, true));
    System.setErr(new PrintStream(errors, true));
    Exit.setExitProcedure((code, message) -> exit(code));
    Exit.setHaltProcedure((code, message) -> exit(code));
    Exit.setShutdownHookAdder((name, hook) -> shutdownHooks.add(hook));

    ObjectMapper json = new ObjectMapper();
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      JsonNode command = json.readTree(line);
      ByteArrayOutputStream written = new ByteArrayOutputStream();
      ByteArrayOutputStream complaints = new ByteArrayOutputStream();
      output.target = written;
      errors.target = complaints;
      exitCode = null;
      shutdownHooks.clear();
      run(command);
      shutdownHooks.forEach(Runnable::run);
      System.out.flush();
      System.err.flush();
      ObjectNode reply = json.createObjectNode();
      reply.put("exitCode", exitCode == null ? 0 : exitCode);
      reply.put("output", written.toString(StandardCharsets.UTF_8));
      reply.put("errors", complaints.toString(StandardCharsets.UTF_8));
      replies.println(json.writeValueAsString(reply));
      replies.flush();
    }
  }

  private static void run(JsonNode command) throws Exception {
    List<String> arguments = new ArrayList<>();
    command.get("arguments").forEach(argument -> arguments.add(argument.asText()));
    System.setIn(new ByteArrayInputStream(command.path("input").asText("").getBytes(StandardCharsets.UTF_8)));
    FreshTools tools = new FreshTools(toolJars());
    Thread.currentThread().setContextClassLoader(tools);
    try {
      Class<?> main = Class.forName(command.get("main").asText(), true, tools);
      main.getMethod("main", String[].class).invoke(null, (Object) arguments.toArray(new String[0]));
    } catch (InvocationTargetException thrown) {
      if (thrown.getCause() instanceof Exited) return;
      thrown.getCause().printStackTrace();
      if (exitCode == null) exitCode = 1;
    }
  }

  private static URL[] toolJars() throws Exception {
    List<URL> jars = new ArrayList<>();
    for (String path : System.getProperty("java.class.path").split(File.pathSeparator)) {
      if (path.matches(".*/kafka-tools-\\d[^/]*\\.jar")) jars.add(new File(path).toURI().toURL());
    }
    return jars.toArray(new URL[0]);
  }
}
