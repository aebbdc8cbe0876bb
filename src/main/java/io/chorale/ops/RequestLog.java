package io.chorale.ops;

import io.chorale.serving.RequestReport;
import io.chorale.serving.RequestReporter;
import java.util.function.Consumer;
import org.jboss.logging.Logger;

/** One line a request, in a form that people read and programs take apart. */
public final class RequestLog implements RequestReporter {
    private static final Logger LOG = Logger.getLogger("io.chorale.request");
    private static final double NANOS_PER_MILLI = 1e6;

    @Override
    public Consumer<RequestReport> begin() {
        return RequestLog::write;
    }

    private static void write(RequestReport report) {
        if (LOG.isInfoEnabled()) {
            LOG.info(line(report));
        }
    }

    static String line(RequestReport report) {
        return "id=" + report.requestId()
                + " endpoint=" + report.endpoint()
                + " model=" + report.model()
                + " stream=" + report.streamed()
                + " status=" + report.status()
                + " outcome=" + report.outcome()
                + " choices=" + report.choices()
                + " prompt_tokens=" + report.promptTokens()
                + " answer_tokens=" + report.answerTokens()
                + " queue_ms=" + millis(report.queueNanos())
                + " adapter_ms=" + millis(report.adapterNanos())
                + " prefill_ms=" + millis(report.prefillNanos())
                + " decode_ms=" + millis(report.decodeNanos());
    }

    private static double millis(long nanos) {
        return Math.round(nanos / NANOS_PER_MILLI * 10) / 10.0;
    }
}
