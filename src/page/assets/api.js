// The server's resources, as this page reaches them, and the key that it may need.

import { local, session } from "./storage.js";

const KEY = "calotype.key";

/* The folder that the page lies in: all else lies beside it, also behind a proxy with a prefix. */
export const base = new URL(".", document.baseURI);

/*
 * An address of an answer, as this page reaches it: with a public address configured, answers name
 * that one, and the page may have been opened under another.
 */
export function here(address) {
	const url = new URL(address, base);
	const tail = url.pathname.match(/\/((?:uploads|jobs|images|i)\/[0-9a-f]{32}.*)$/);
	return tail ? new URL(tail[1] + url.search, base).href : url.href;
}

export class Problem extends Error {
	constructor(status, members = {}, retryAfterMs = 0) {
		super(members.detail ?? members.title ?? `status ${status}`);
		Object.assign(this, members, { status, retryAfterMs });
	}
}

/* `text`: the body. What is no problem document, as a proxy's own page, gives the status only. */
export function problemOf(status, text, retryAfter) {
	let members = {};
	try {
		const parsed = JSON.parse(text);
		if (parsed && typeof parsed === "object")
			members = parsed;
	} catch {
		// not JSON: the status must do
	}
	return new Problem(status, members, (Number(retryAfter) || 0) * 1000);
}

// ---- the key ----

export const key = {
	get() {
		return session.getItem(KEY) ?? local.getItem(KEY) ?? "";
	},
	set(value, remember) {
		key.forget();
		(remember ? local : session).setItem(KEY, value);
	},
	forget() {
		session.removeItem(KEY);
		local.removeItem(KEY);
	},
	header() {
		return key.get() ? { Authorization: `Bearer ${key.get()}` } : {};
	},
};

let ask = async () => false; // set by the page
let asking = null;

export function onKeyWanted(callback) {
	ask = callback;
}

/*
 * A request that carried `used` was refused. Resolves when there is another key to try; throws the
 * problem when the person has none. However many requests are refused, one dialogue asks.
 */
export async function wantKey(used, problem) {
	if (key.get() !== used)
		return;
	asking ??= ask(problem).finally(() => { asking = null; });
	if (!await asking)
		throw problem;
}

// ---- calls ----

/* The response, also a 304; throws a Problem otherwise. */
export async function call(method, path, { headers = {}, signal } = {}) {
	for (;;) {
		const used = key.get();
		let response;
		try {
			response = await fetch(new URL(path, base), {
				method, signal, headers: { ...headers, ...key.header() },
				cache: "no-store", credentials: "omit",
			});
		} catch (error) {
			if (signal?.aborted)
				throw error;
			throw new Problem(0);
		}
		if (response.ok || response.status === 304)
			return response;
		const problem = problemOf(response.status, await response.text().catch(() => ""),
			response.headers.get("Retry-After"));
		if (response.status !== 401)
			throw problem;
		await wantKey(used, problem);
	}
}

export async function get(path, options) {
	return (await call("GET", path, options)).json();
}

export function listImages(cursor, limit) {
	const query = new URLSearchParams({ limit });
	if (cursor)
		query.set("cursor", cursor);
	return get(`images?${query}`);
}

/* Resolves after `ms`, or at once when the network comes back. */
export function pause(ms, signal) {
	return new Promise((resolve, reject) => {
		const end = (settle, value) => {
			clearTimeout(timer);
			removeEventListener("online", wake);
			signal?.removeEventListener("abort", stop);
			settle(value);
		};
		const wake = () => end(resolve);
		const stop = () => end(reject, signal.reason);
		const timer = setTimeout(wake, ms);
		addEventListener("online", wake);
		signal?.addEventListener("abort", stop);
	});
}

const WAIT_S = 20;
const MAX_PAUSE_MS = 30000;

/*
 * Asks for a job until it is done; tells every change. A server that knows `Prefer: wait` holds the
 * answer back until there is news; of another, Retry-After says when to ask again.
 */
export async function follow(url, onChange, signal) {
	let etag = null, failures = 0;
	for (;;) {
		let ms;
		try {
			const headers = { Prefer: `wait=${WAIT_S}` };
			if (etag)
				headers["If-None-Match"] = etag;
			const response = await call("GET", url, { headers, signal });
			failures = 0;
			if (response.status !== 304) {
				etag = response.headers.get("ETag");
				const job = await response.json();
				onChange(job);
				if (job.done)
					return job;
			}
			const held = response.headers.get("Preference-Applied")?.includes("wait");
			ms = held ? 0 : 1000 * (Number(response.headers.get("Retry-After")) || 1);
		} catch (problem) {
			const isPassing = problem.status === 0 || problem.status === 429 ||
				problem.status >= 500;
			if (signal?.aborted || !isPassing)
				throw problem;
			failures++;
			ms = Math.max(problem.retryAfterMs,
				Math.random() * Math.min(MAX_PAUSE_MS, 500 * 2 ** failures));
		}
		await pause(ms, signal);
	}
}
