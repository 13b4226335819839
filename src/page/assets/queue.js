// The uploads of this page: which ones run, wait, are paused, are being made into prints. Shows
// nothing; says "change" with the item, and "ready" with the image.
//
//     waiting -> sending -> processing -> done
//        ^  \       |  \         \-> failed
//        |   paused-/   \-> failed
//     needsFile, needsPermission: begun before a reload, and the file cannot be read yet

import { Problem, base, call, follow, here, key, problemOf, wantKey } from "./api.js";
import * as keep from "./keep.js";
import { TusError, TusUpload, jobOf } from "./tus.js";

const MAX_SENDING = 3;
const MAX_FOLLOWED = 2;     // a browser has six connections to a server
const RATE_WINDOW_MS = 4000;
const FINAL = new Set([400, 404, 405, 410, 412, 413, 415, 422]); // the same file meets the same answer

class Item {
	constructor(fields) {
		Object.assign(this, {
			id: keep.newId(), file: null, handle: null, name: "", size: 0, print: "",
			state: "waiting", offset: 0, url: null, job: null, jobState: null,
			problem: null, retryMs: undefined, samples: [], release: null,
		}, fields);
	}

	/* Bytes a second of the last moments; 0: not known. */
	get rate() {
		const first = this.samples[0], last = this.samples.at(-1);
		const ms = last ? last.at - first.at : 0;
		return ms > 200 ? Math.max(0, (last.offset - first.offset) / ms * 1000) : 0;
	}

	progress(offset) {
		const at = performance.now();
		if (offset < this.offset)
			this.samples = [];
		this.offset = offset;
		this.retryMs = undefined;
		this.samples.push({ at, offset });
		while (this.samples[0].at < at - RATE_WINDOW_MS)
			this.samples.shift();
	}

	get isEnded() {
		return this.state === "done" || this.state === "failed" || this.state === "canceled";
	}
}

export class Queue extends EventTarget {
	items = [];

	constructor() {
		super();
		addEventListener("pagehide", () => {
			for (const item of this.items.filter((each) => each.url && !each.isEnded))
				this.record(item);
		});
	}

	tell(name, item, more = {}) {
		this.dispatchEvent(Object.assign(new Event(name), { item, ...more }));
	}

	set(item, state, more = {}) {
		Object.assign(item, { state, ...more });
		this.tell("change", item);
	}

	// ---- coming in ----

	/* picked: [{ file, handle }]. One that was broken off or paused goes on where it was. */
	add(picked) {
		const open = new Map(this.items.filter((item) => !item.isEnded || item.canRetry)
			.map((item) => [item.print, item]));
		for (const { file, handle = null } of picked) {
			const print = keep.fingerprint(file);
			let item = open.get(print);
			if (item) {
				this.pickAgain(item, file, handle);
				continue;
			}
			item = new Item({ file, handle, print, name: file.name, size: file.size });
			open.set(print, item);
			this.items.push(item);
			this.tell("change", item);
		}
		this.pump();
	}

	pickAgain(item, file, handle) {
		if (item.state === "waiting" || item.state === "sending" || item.state === "processing")
			return;
		item.file = file;
		item.handle = handle;
		if (item.job)
			this.follow(item);
		else
			this.set(item, "waiting", { problem: null });
	}

	/* What the last load of this page, or another tab that is gone, left behind. */
	async restore() {
		for (const record of keep.records()) {
			const isOwn = record.tab === keep.tab;
			const release = await keep.claim(record.id, isOwn);
			if (release === null && navigator.locks)
				continue; // another tab works on it
			const { id, print, name, size, url, job, offset, isPaused } = record;
			const item = new Item({ id, print, name, size, url, job, offset, release,
				state: "needsFile" });
			const kept = job ? {} : await keep.keptFile(id);
			item.file = kept.file ?? null;
			item.handle = kept.handle ?? null;
			this.items.push(item);
			if (job)
				this.follow(item);
			else if (!kept.file)
				this.set(item, kept.handle ? "needsPermission" : "needsFile");
			else
				this.set(item, isPaused || !release ? "paused" : "waiting");
			if (!job && !kept.file)
				this.look(item);
		}
		this.pump();
		await keep.sweep();
	}

	/* How far one came whose file is not at hand; it may even have got through. */
	async look(item) {
		let response;
		try {
			response = await call("HEAD", item.url, { headers: { "Tus-Resumable": "1.0.0" } });
		} catch (problem) {
			if (problem.status === 404 || problem.status === 410)
				this.end(item, "canceled"); // expired
			return;
		}
		if (item.state !== "needsFile" && item.state !== "needsPermission")
			return;
		item.offset = Number(response.headers.get("Upload-Offset")) || 0;
		const job = jobOf(response.headers.get("Link"));
		if (!job) {
			this.tell("change", item);
			return;
		}
		item.job = here(job);
		this.record(item);
		this.follow(item);
	}

	record(item) {
		const { id, print, name, size, url, job, offset } = item;
		keep.remember({ id, print, name, size, url, job, offset, tab: keep.tab, at: Date.now(),
			isPaused: item.state === "paused" });
	}

	// ---- sending ----

	pump() {
		const sending = this.items.filter((item) => item.state === "sending").length;
		const next = this.items.filter((item) => item.state === "waiting");
		for (const item of next.slice(0, Math.max(0, MAX_SENDING - sending)))
			this.run(item);
	}

	async run(item) {
		const { signal } = item.controller = new AbortController();
		this.set(item, "sending", { problem: null, samples: [], retryMs: undefined });
		if (item.url)
			this.record(item);
		item.release ??= await keep.claim(item.id, true);
		const upload = new TusUpload(item.file, {
			endpoint: new URL("uploads", base).href,
			url: item.url,
			metadata: { filename: item.name, filetype: item.file.type },
			headers: key.header,
			resolve: here,
			onCreated: (url) => this.begun(item, url),
			onProgress: (offset) => {
				item.progress(offset);
				this.tell("change", item);
			},
			onRetry: (ms) => this.set(item, "sending", { retryMs: ms, samples: [] }),
			onDenied: (error, sent) => wantKey(
				(sent.Authorization ?? "").replace("Bearer ", ""), problemOf(401, error.text)),
		});
		try {
			const { job } = await upload.run(signal);
			item.job = job && here(job);
			this.uploaded(item);
		} catch (error) {
			if (!signal.aborted) // paused or canceled, and perhaps sent anew since
				this.broken(item, error);
		}
		this.pump();
	}

	begun(item, url) {
		item.url = url;
		this.record(item);
		item.kept = keep.keepFile(item.id, item.file, item.handle);
	}

	uploaded(item) {
		if (item.job) {
			this.record(item);
			this.follow(item);
			return;
		}
		this.end(item, "failed", { problem: new Problem(502,
			{ detail: "the server has taken the file and names no job for it" }) });
	}

	broken(item, error) {
		if (error instanceof TusError)
			error = problemOf(error.status, error.text, error.retryAfter);
		if (error.name === "NotReadableError" || error.name === "NotFoundError") {
			this.set(item, "needsFile", { file: null, handle: null });
			return;
		}
		/* What may pass later keeps its place; the rest is over. */
		if (error.status !== undefined && !FINAL.has(error.status))
			this.set(item, "failed", { problem: error, canRetry: true });
		else
			this.end(item, "failed", { problem: error });
	}

	// ---- waiting for prints ----

	follow(item) {
		this.set(item, "processing", { offset: item.size });
		this.pumpJobs();
	}

	pumpJobs() {
		const open = this.items.filter((item) => item.state === "processing");
		const followed = open.filter((item) => item.isFollowed).length;
		const next = open.filter((item) => !item.isFollowed);
		for (const item of next.slice(0, Math.max(0, MAX_FOLLOWED - followed)))
			this.runJob(item);
	}

	async runJob(item) {
		item.isFollowed = true;
		const { signal } = item.controller = new AbortController();
		try {
			const job = await follow(item.job, (news) => {
				item.jobState = news.state;
				this.tell("change", item);
			}, signal);
			if (job.state === "succeeded") {
				this.end(item, "done");
				this.tell("ready", item, { imageId: job.response.image.id });
			} else {
				this.end(item, "failed", { problem: new Problem(422, job.error ?? {
					detail: "the job was canceled" }) });
			}
		} catch (error) {
			if (error.status === 401)
				this.set(item, "failed", { problem: error, canRetry: true });
			else if (!signal.aborted)
				this.end(item, "failed", { problem: error });
		}
		item.isFollowed = false;
		this.pumpJobs();
	}

	// ---- what a person may do ----

	pause(item) {
		if (item.state !== "sending" && item.state !== "waiting")
			return;
		this.set(item, "paused", { samples: [] });
		item.controller?.abort();
		if (item.url)
			this.record(item);
		this.pump();
	}

	async resume(item) {
		if (item.state === "needsPermission") {
			item.file = await keep.unlockFile(item.handle);
			this.set(item, item.file ? "waiting" : "needsFile");
		} else if (item.job) {
			this.follow(item);
		} else if (item.state === "paused" || item.state === "failed") {
			this.set(item, "waiting", { problem: null });
		}
		this.pump();
	}

	/* Also takes a failed one off the list. */
	async cancel(item) {
		const wasOpen = !item.isEnded || item.canRetry;
		this.end(item, "canceled");
		item.controller?.abort();
		this.pump();
		if (wasOpen && item.url && !item.job)
			await TusUpload.terminate(item.url, key.header());
	}

	end(item, state, more = {}) {
		this.set(item, state, { canRetry: false, ...more });
		item.release?.();
		item.release = null;
		Promise.resolve(item.kept).then(() => keep.forget(item.id));
		item.file = state === "failed" ? item.file : null;
		if (state !== "failed")
			this.items = this.items.filter((other) => other !== item);
	}

	/* Would leaving now lose something that a reload does not bring back? */
	get isAtRisk() {
		return this.items.some((item) => item.state === "waiting" && !item.url ||
			item.state === "sending" && !item.url);
	}
}
