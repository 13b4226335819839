// tus 1.0.0 (tus.io/protocols/resumable-upload): core, creation, termination. Knows no page.
//
//     const upload = new TusUpload(blob, { endpoint, url, metadata, headers, ... });
//     const { job } = await upload.run(signal);      // goes on wherever the server is
//
// A run ends when the server has all bytes, with a TusError that waiting does not mend, or with the
// reason of `signal`. What breaks in between is tried again. It sends XMLHttpRequests, since fetch()
// does not tell how much of a body has left.

const VERSION = "1.0.0";
const MIN_CHUNK = 256 * 1024;
const MAX_CHUNK = 64 * 1024 * 1024;
const FIRST_CHUNK = 4 * 1024 * 1024;
const CHUNK_MS = 8000;       // what a chunk should take
const STALL_MS = 60000;      // without a byte moving, a request counts as broken
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 30000;
const MAX_FAILURES = 12;     // in a row, while the network claims to be there

const PASSING = new Set([0, 408, 409, 423, 425, 429, 500, 502, 503, 504]);

export class TusError extends Error {
	/* status 0: no answer came. `text` is the body of the answer. */
	constructor(status, text = "", retryAfter = null) {
		super(`status ${status}`);
		Object.assign(this, { status, text, retryAfter });
	}
}

function send(method, url, { headers, body = null, signal, onProgress }) {
	return new Promise((resolve, reject) => {
		const request = new XMLHttpRequest();
		let watch;
		const abort = () => request.abort();
		const touch = () => {
			clearTimeout(watch);
			watch = setTimeout(abort, STALL_MS);
		};
		request.open(method, url);
		for (const [name, value] of Object.entries({ "Tus-Resumable": VERSION, ...headers }))
			request.setRequestHeader(name, value);
		request.upload.onprogress = (event) => {
			touch();
			onProgress?.(event.loaded);
		};
		request.onload = () => resolve(request);
		request.onerror = request.onabort = () =>
			reject(signal?.aborted ? signal.reason : new TusError(0));
		request.onloadend = () => {
			clearTimeout(watch);
			signal?.removeEventListener("abort", abort);
		};
		if (signal?.aborted) {
			reject(signal.reason);
			return;
		}
		signal?.addEventListener("abort", abort);
		touch();
		request.send(body);
	});
}

function base64(text) {
	return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/* What a finished upload links: the job that goes on with it. */
export function jobOf(link) {
	return link?.match(/<([^>]+)>\s*;\s*rel="?status"?/)?.[1] ?? null;
}

/* Resolves after `ms`, or at once when the network comes back. */
function pause(ms, signal) {
	return new Promise((resolve, reject) => {
		const end = (settle, value) => {
			clearTimeout(timer);
			removeEventListener("online", wake);
			signal?.removeEventListener("abort", stop);
			settle(value);
		};
		const wake = () => end(resolve);
		const stop = () => end(reject, signal.reason);
		const timer = setTimeout(wake, navigator.onLine ? ms : MAX_RETRY_MS);
		addEventListener("online", wake);
		signal?.addEventListener("abort", stop);
	});
}

export class TusUpload {
	/*
	 * options: endpoint    where uploads are created
	 *          url         of one that was begun before, or null
	 *          metadata    { name: text }
	 *          headers     () => headers for each request (a key)
	 *          resolve     (Location) => address, if it needs a change
	 *          onCreated   (url)
	 *          onProgress  (bytes on the server or on the way)
	 *          onRetry     (ms until the next try, or null while offline)
	 *          onDenied    async (TusError, headers that were sent): on 401; throws to give up
	 */
	constructor(blob, options) {
		this.blob = blob;
		this.options = options;
		this.url = options.url ?? null;
		this.offset = null; // what the server has; null: ask
		this.job = null;
		this.chunk = FIRST_CHUNK;
		this.ceiling = MAX_CHUNK;
		this.failures = 0;
		this.furthest = -1;
		this.isOwn = false;  // created by this object
		this.isLost = false; // and gone again
	}

	async run(signal) {
		for (;;) {
			signal?.throwIfAborted();
			try {
				if (await this.step(signal))
					return { url: this.url, job: this.job };
			} catch (error) {
				if (!(error instanceof TusError))
					throw error;
				await this.recover(error, signal);
			}
		}
	}

	/* One request; true when all is there. */
	async step(signal) {
		if (this.url === null)
			await this.create(signal);
		else if (this.isLost)
			await this.askWhy(signal);
		else if (this.offset === null)
			await this.ask(signal);
		else if (this.offset < this.blob.size)
			await this.append(signal);
		return this.url !== null && this.offset === this.blob.size;
	}

	async request(method, url, options) {
		const own = this.options.headers?.() ?? {};
		const request = await send(method, url, { ...options, headers: { ...options.headers, ...own } });
		if (request.status >= 200 && request.status < 300)
			return request;
		const error = new TusError(request.status, request.responseText,
			request.getResponseHeader("Retry-After"));
		error.sent = own;
		throw error;
	}

	async create(signal) {
		const metadata = Object.entries(this.options.metadata ?? {})
			.filter(([, value]) => value)
			.map(([name, value]) => `${name} ${base64(value)}`).join(",");
		const headers = { "Upload-Length": String(this.blob.size) };
		if (metadata)
			headers["Upload-Metadata"] = metadata;
		const request = await this.request("POST", this.options.endpoint, { headers, signal });
		const location = request.getResponseHeader("Location");
		if (!location)
			throw new TusError(502);
		this.url = this.options.resolve?.(location) ?? new URL(location, this.options.endpoint).href;
		this.offset = 0;
		this.isOwn = true;
		this.options.onCreated?.(this.url);
	}

	async ask(signal) {
		const request = await this.request("HEAD", this.url, { headers: {}, signal });
		this.settle(request);
		this.options.onProgress?.(this.offset);
	}

	async append(signal) {
		const from = this.offset;
		const part = this.blob.slice(from, from + this.chunk);
		const begun = performance.now();
		this.offset = null; // until the answer says how far it came
		const request = await this.request("PATCH", this.url, {
			headers: {
				"Upload-Offset": String(from),
				"Content-Type": "application/offset+octet-stream",
			},
			body: part, signal,
			onProgress: (sent) => this.options.onProgress?.(from + Math.min(sent, part.size)),
		});
		this.settle(request);
		const ms = Math.max(1, performance.now() - begun);
		this.chunk = Math.round(Math.min(this.ceiling,
			Math.max(MIN_CHUNK, part.size / ms * CHUNK_MS)));
		this.options.onProgress?.(this.offset);
	}

	settle(request) {
		const offset = Number(request.getResponseHeader("Upload-Offset") ?? NaN);
		if (!Number.isSafeInteger(offset) || offset < 0 || offset > this.blob.size)
			throw new TusError(502);
		this.offset = offset;
		this.job = jobOf(request.getResponseHeader("Link")) ?? this.job;
		if (offset <= this.furthest)
			return;
		this.furthest = offset;
		this.failures = 0;
	}

	/* Returns when the next step may be tried, or throws. */
	async recover(error, signal) {
		if (error.status === 401 && this.options.onDenied) {
			await this.options.onDenied(error, error.sent);
			return;
		}
		if ((error.status === 404 || error.status === 410) && this.url !== null && !this.isLost) {
			this.lose();
			return;
		}
		if (error.status === 413 && this.url !== null && this.chunk > MIN_CHUNK) {
			this.ceiling = this.chunk = Math.max(MIN_CHUNK, this.chunk >> 1); // a proxy's limit
			return;
		}
		if (!PASSING.has(error.status))
			throw error;
		if (++this.failures > MAX_FAILURES && navigator.onLine)
			throw error;
		if (error.status === 0) {
			this.chunk = Math.max(MIN_CHUNK, this.chunk >> 1);
			await this.blob.slice(0, 1).arrayBuffer(); // throws if the file itself is gone
		}
		const longest = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.failures - 1));
		const ms = Math.max((Number(error.retryAfter) || 0) * 1000,
			longest * (0.5 + Math.random() / 2));
		this.options.onRetry?.(navigator.onLine ? ms : null);
		await pause(ms, signal);
	}

	/*
	 * The server has it no more. One from earlier has expired, and begins anew. One that was just
	 * created has been refused, and the answer was lost with the connection: ask for the reason.
	 */
	lose() {
		if (this.isOwn)
			this.isLost = true;
		else
			this.url = this.offset = null;
	}

	/* A PATCH of an upload that was refused is told why, also an empty one. */
	async askWhy(signal) {
		await this.request("PATCH", this.url, {
			headers: {
				"Upload-Offset": "0",
				"Content-Type": "application/offset+octet-stream",
			},
			signal,
		});
		throw new TusError(410);
	}

	/* Gives the upload up on the server too. */
	static async terminate(url, headers) {
		await send("DELETE", url, { headers }).catch(() => {
			// what stays there expires
		});
	}
}
