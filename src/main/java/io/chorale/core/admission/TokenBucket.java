package io.chorale.core.admission;

/**
 * So much a second, saved up for a while when it is not used. What is taken may exceed what is there, since nobody knows
 * the length of an answer before it ends: the bucket is then in debt, and nothing is given until that is paid.
 */
public final class TokenBucket {
    private final double perNano;
    private final double most;
    private double level;
    private long filledNanos;

    /** A full bucket. */
    public TokenBucket(double perSecond, double burstSeconds, long nowNanos) {
        perNano = perSecond / 1e9;
        most = Math.max(1, perSecond * burstSeconds);
        level = most;
        filledNanos = nowNanos;
    }

    public void take(double amount, long nowNanos) {
        fill(nowNanos);
        level -= amount;
    }

    /** How long until so much is there; 0: it is. An amount that the bucket never holds is there when it is full. */
    public long nanosUntil(double amount, long nowNanos) {
        fill(nowNanos);
        double missing = Math.min(amount, most) - level;
        return missing <= 0 ? 0 : (long) Math.ceil(missing / perNano);
    }

    private void fill(long nowNanos) {
        level = Math.min(most, level + Math.max(0, nowNanos - filledNanos) * perNano);
        filledNanos = Math.max(filledNanos, nowNanos);
    }
}
