// What outlives a reload. Of each upload under way a small record in localStorage: what file it
// was, and where it goes on. Beside it, where the browser can, the file itself or a handle to it in
// IndexedDB: then a reload goes on by itself, else the same file must be picked again.

import { local, session } from "./storage.js";

const PREFIX = "calotype.upload.";
const MAX_AGE_MS = 7 * 24 * 3600 * 1000;
const MAX_STORED_FILE = 64 * 1024 * 1024; // the browser copies it
const TAB = "calotype.tab";

/* The same for the same file however it is picked. */
export function fingerprint(file) {
	return `${file.size}-${file.lastModified}-${file.name}`;
}

/* This tab; a reload keeps it. */
export const tab = session.getItem(TAB) ?? newId();
session.setItem(TAB, tab);

export function newId() {
	const words = crypto.getRandomValues(new Uint32Array(4));
	return Array.from(words, (word) => word.toString(16).padStart(8, "0")).join("");
}

// ---- records: { id, print, name, size, url, job, offset, tab, at } ----

export function records() {
	const all = [];
	for (const name of Object.keys(local)) {
		if (!name.startsWith(PREFIX))
			continue;
		try {
			const record = JSON.parse(local.getItem(name));
			if (record?.id && Date.now() - record.at < MAX_AGE_MS) {
				all.push(record);
				continue;
			}
		} catch {
			// not ours any more
		}
		forget(name.slice(PREFIX.length));
	}
	return all.sort((a, b) => a.at - b.at);
}

export function remember(record) {
	try {
		local.setItem(PREFIX + record.id, JSON.stringify(record));
	} catch {
		// full or forbidden: this upload cannot go on after a reload, but it goes on now
	}
}

/* As long as one tab works on an upload, another leaves it alone. */
export function claim(id, isOwnTab) {
	if (!navigator.locks)
		return Promise.resolve(isOwnTab ? () => {} : null);
	return new Promise((resolve) => {
		navigator.locks.request(PREFIX + id, { ifAvailable: true }, (lock) => {
			if (lock === null) {
				resolve(null);
				return undefined;
			}
			return new Promise((release) => resolve(release));
		}).catch(() => resolve(isOwnTab ? () => {} : null));
	});
}

// ---- files ----

let opened = null;

function database() {
	opened ??= new Promise((resolve, reject) => {
		const request = indexedDB.open("calotype", 1);
		request.onupgradeneeded = () => request.result.createObjectStore("files");
		request.onsuccess = () => resolve(request.result);
		request.onerror = () => reject(request.error);
	});
	return opened;
}

/* Resolves with the result of `work(store)`'s request, or undefined: nothing depends on it. */
async function withFiles(mode, work) {
	try {
		const db = await database();
		return await new Promise((resolve, reject) => {
			const transaction = db.transaction("files", mode);
			const request = work(transaction.objectStore("files"));
			transaction.oncomplete = () => resolve(request.result);
			transaction.onabort = transaction.onerror = () => reject(transaction.error);
		});
	} catch {
		return undefined; // no IndexedDB here, or no room: the file must be picked again
	}
}

export function keepFile(id, file, handle) {
	const kept = handle ? { handle } : file.size <= MAX_STORED_FILE ? { file } : null;
	return kept ? withFiles("readwrite", (store) => store.put(kept, id)) : Promise.resolve();
}

/* { file } if it can be read now, { handle } if the person must allow it first, or {}. */
export async function keptFile(id) {
	const kept = await withFiles("readonly", (store) => store.get(id));
	if (!kept?.handle)
		return kept ?? {};
	try {
		if (await kept.handle.queryPermission({ mode: "read" }) !== "granted")
			return kept;
		return { file: await kept.handle.getFile(), handle: kept.handle };
	} catch {
		return {}; // moved or deleted
	}
}

/* In answer to a press of a button. The file, or null. */
export async function unlockFile(handle) {
	try {
		if (await handle.requestPermission({ mode: "read" }) !== "granted")
			return null;
		return await handle.getFile();
	} catch {
		return null;
	}
}

export function forget(id) {
	local.removeItem(PREFIX + id);
	return withFiles("readwrite", (store) => store.delete(id));
}

/* Files whose record is gone, as after a crash between the two. */
export async function sweep() {
	const known = new Set(records().map((record) => record.id));
	const ids = await withFiles("readonly", (store) => store.getAllKeys()) ?? [];
	for (const id of ids.filter((each) => !known.has(each)))
		await withFiles("readwrite", (store) => store.delete(id));
}
