// The page's only way to the server: plain JSON calls, and one EventSource for all voices together.

import {key, wantKey} from './key.js';

/** Something went wrong; the message is written for the reader, and says what and where. */
export class Problem extends Error {
  constructor(message, code = null) {
    super(message);
    this.code = code;
  }
}

/** The call was refused for want of a good key: asking again makes no sense before there is another. */
export class KeyWanted extends Problem {}

const silent = () => new Problem(`The server at ${location.host} does not answer. Is it still running?`);

/** Reads OpenAI's error shape; an answer of any other shape (a proxy's page, say) is named by its status. */
async function refusal(response) {
  const retryAfterSeconds = Number(response.headers.get('Retry-After')) || 0;
  const body = await response.json().catch(() => null);
  const error = body?.error;
  if (response.status === 401) {
    return new KeyWanted(key() ? 'The server does not take this API key.' : 'The server wants an API key.', error?.code ?? 'HTTP 401');
  }
  const words = error?.message ?? `The server answered ${response.status} ${response.statusText}`.trim() + '.';
  return new Problem(
    retryAfterSeconds > 0 ? `${words} It asks to wait ${retryAfterSeconds} s.` : words,
    error?.code ?? `HTTP ${response.status}`);
}

/** One call; resolves to the body as JSON, rejects with a Problem. Where a key is missing or wrong, its field opens. */
export async function call(method, path, body, signal) {
  let response;
  try {
    response = await fetch(path, {
      method,
      signal,
      cache: 'no-store',
      keepalive: method === 'DELETE', // goes out even when the page goes away
      headers: {
        ...body === undefined ? {} : {'Content-Type': 'application/json'},
        ...key() ? {Authorization: `Bearer ${key()}`} : {},
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    throw error.name === 'AbortError' ? error : silent();
  }
  if (!response.ok) {
    const problem = await refusal(response);
    if (problem instanceof KeyWanted) wantKey(problem.message);
    throw problem;
  }
  if (response.status === 204) return null;
  return response.json().catch(() => { throw new Problem(`The server's answer to ${path} is not JSON.`); });
}

/** How long a broken connection may try to come back before what has arrived is called incomplete. */
const RESUME_MILLIS_MAX = 10_000;

/**
 * Sends several chat requests as one and follows their answers over a single EventSource: a browser opens only six
 * connections to a host, so a stream for each voice would leave the seventh waiting.
 *
 * The listener gets begun() when the server has taken the requests, part(index, chunk) for each piece,
 * failed(index, problem) for an answer that broke, wavering(yes) while a lost connection is being taken up again (the
 * server goes on after the last event id seen), and once, at last, ended(problem or null).
 */
export async function follow(requests, listener, signal) {
  const ticket = await call('POST', '/v1/streams', {requests}, signal);
  listener.begun();
  const source = new EventSource(ticket.url);
  let deadline = null;
  let ended = false;

  /** No more is wanted; unless all has come, the server is told, whose pages are then free for others. */
  function end(problem, isWhole = false) {
    if (ended) return;
    ended = true;
    clearTimeout(deadline);
    source.close();
    listener.ended(problem);
    // What does not reach the server it finds out by itself, when nobody listens.
    if (!isWhole) call('DELETE', ticket.url).catch(() => {});
  }

  source.onopen = () => {
    clearTimeout(deadline);
    deadline = null;
    listener.wavering(false);
  };
  source.onmessage = ({data}) => {
    const {request, chunk, error} = JSON.parse(data);
    if (error) listener.failed(request, new Problem(error.message, error.code));
    else listener.part(request, chunk);
  };
  // Without this event the stream is cut, however tidily the connection closed.
  source.addEventListener('end', () => end(null, true));
  source.onerror = () => {
    // Refused for good, or the page is being left.
    if (source.readyState === EventSource.CLOSED) {
      end(new Problem('The server no longer has this stream: the answers stop before their end.'));
    } else if (deadline === null) {
      listener.wavering(true);
      deadline = setTimeout(
        () => end(new Problem(`The connection to ${location.host} is lost: the answers stop before their end.`)),
        RESUME_MILLIS_MAX);
    }
  };

  return {stop: () => end(null)};
}
