// The list of uploads. The picture of each is a paper negative that turns into its print as the
// bytes arrive.

import { bytes, count, duration, explain } from "./text.js";

const MAX_ROWS = 60;                          // the rest is a number
const MAX_PREVIEW_BYTES = 48 * 1024 * 1024;
const PREVIEW_PIXELS = 160;

function left(item) {
	const rate = item.rate;
	return rate > 0 ? `${bytes(rate)}/s · ${duration((item.size - item.offset) / rate)} left` : "";
}

function sendingLine(item) {
	if (item.retryMs === null)
		return "Offline. It goes on when the network is back.";
	if (item.retryMs !== undefined)
		return `The connection broke. Next try in ${duration(item.retryMs / 1000)}.`;
	return [`${bytes(item.offset)} of ${bytes(item.size)}`, left(item)].filter(Boolean).join(" · ");
}

function line(item) {
	const far = `${bytes(item.offset)} of ${bytes(item.size)}`;
	switch (item.state) {
	case "waiting":
		return `Waiting · ${item.offset ? far : bytes(item.size)}`;
	case "sending":
		return sendingLine(item);
	case "paused":
		return `Paused at ${far}`;
	case "needsFile":
		return `Broken off at ${far}. Choose the same file again and it goes on from there.`;
	case "needsPermission":
		return `Broken off at ${far}. The browser asks you before it reads the file again.`;
	case "processing":
		return item.jobState === "running" ? "Making prints" : "Uploaded; prints are next";
	case "failed":
		return explain(item.problem);
	default:
		return "";
	}
}

const ACTIONS = {
	waiting: ["Pause", "pause"],
	sending: ["Pause", "pause"],
	paused: ["Resume", "resume"],
	needsFile: ["Choose file", "choose"],
	needsPermission: ["Resume", "resume"],
};

function actionOf(item) {
	return item.state === "failed" && item.canRetry ? ["Try again", "resume"] : ACTIONS[item.state];
}

export class UploadList {
	constructor(root, queue, { choose }) {
		this.root = root;
		this.list = root.querySelector("ol");
		this.template = document.querySelector("#upload-template");
		this.summary = root.querySelector(".summary");
		this.more = root.querySelector(".more-uploads");
		this.queue = queue;
		this.choose = choose;
		this.rows = new Map();
		this.isDrawn = true;
		queue.addEventListener("change", () => this.schedule());
		root.querySelector(".pause-all").addEventListener("click", () => this.pauseAll());
	}

	schedule() {
		if (!this.isDrawn)
			return;
		this.isDrawn = false;
		setTimeout(() => {
			this.isDrawn = true;
			this.draw();
		}, 100);
	}

	/* Those that need a person first, then those that move. */
	shown() {
		const rank = { failed: 0, needsFile: 0, needsPermission: 0, processing: 1, sending: 1,
			paused: 2, waiting: 3 };
		const items = this.queue.items.filter((item) => item.state in rank);
		const known = new Map(items.map((item, at) => [item, rank[item.state] * 1e6 + at]));
		/* Rows do not jump about while the list is short. */
		if (items.length > MAX_ROWS)
			items.sort((a, b) => known.get(a) - known.get(b));
		return items;
	}

	draw() {
		const items = this.shown(), visible = new Set(items.slice(0, MAX_ROWS));
		for (const [item, row] of this.rows)
			if (!visible.has(item))
				this.remove(item, row);
		let before = null;
		for (const item of visible) {
			let row = this.rows.get(item);
			if (!row) {
				row = this.create(item);
				before ? before.after(row) : this.list.prepend(row);
			}
			this.update(item, row);
			before = row;
		}
		const hidden = items.length - visible.size;
		this.more.hidden = hidden === 0;
		this.more.textContent = `and ${count(hidden, "more file")}`;
		this.root.hidden = items.length === 0;
		this.drawSummary(items);
	}

	drawSummary(items) {
		const moving = items.filter((item) => item.state === "sending" || item.state === "waiting");
		const total = moving.reduce((sum, item) => sum + item.size, 0);
		const sent = moving.reduce((sum, item) => sum + item.offset, 0);
		const rate = moving.reduce((sum, item) => sum + item.rate, 0);
		const parts = [count(items.length, "file")];
		if (moving.length)
			parts.push(`${bytes(total - sent)} to go`);
		if (rate > 0)
			parts.push(`about ${duration((total - sent) / rate)}`);
		this.summary.textContent = parts.join(" · ");
		const all = this.root.querySelector(".pause-all");
		const paused = items.some((item) => item.state === "paused");
		all.hidden = items.length < 2 || !(moving.length || paused);
		all.textContent = moving.length ? "Pause all" : "Resume all";
	}

	pauseAll() {
		const items = [...this.queue.items];
		const moving = items.filter((item) => item.state === "sending" || item.state === "waiting");
		/* Those that wait first, or each pause would start the next. */
		for (const item of moving.reverse())
			this.queue.pause(item);
		if (moving.length === 0)
			for (const item of items.filter((each) => each.state === "paused"))
				this.queue.resume(item);
	}

	create(item) {
		const row = this.template.content.firstElementChild.cloneNode(true);
		row.querySelector(".name").textContent = item.name;
		row.querySelector(".name").title = item.name;
		row.querySelector(".progress").setAttribute("aria-label", item.name);
		row.querySelector(".act").addEventListener("click", () => {
			const [, does] = actionOf(item) ?? [];
			if (does === "choose")
				this.choose();
			else if (does)
				this.queue[does](item);
			this.draw();
		});
		row.querySelector(".cancel").addEventListener("click", () => {
			this.queue.cancel(item);
			this.draw();
		});
		this.rows.set(item, row);
		return row;
	}

	update(item, row) {
		const set = (element, text) => {
			if (element.textContent !== text)
				element.textContent = text;
		};
		const part = item.size ? Math.min(1, item.offset / item.size) : 0;
		row.dataset.state = item.state;
		set(row.querySelector(".line"), line(item));
		const progress = row.querySelector(".progress");
		progress.hidden = item.state === "failed";
		if (item.state === "processing")
			progress.removeAttribute("value");
		else
			progress.value = part;
		row.style.setProperty("--part", part);
		const act = row.querySelector(".act"), [label] = actionOf(item) ?? [""];
		act.hidden = !label;
		set(act.firstElementChild, label);
		set(act.lastElementChild, ` ${item.name}`);
		const cancel = row.querySelector(".cancel");
		cancel.hidden = item.state === "processing";
		set(cancel.firstElementChild, item.state === "failed" ? "Dismiss" : "Cancel");
		set(cancel.lastElementChild, ` ${item.name}`);
		if (item.state !== "waiting" && !row.dataset.preview)
			this.preview(item, row);
	}

	async preview(item, row) {
		if (!item.file || item.file.size > MAX_PREVIEW_BYTES)
			return;
		row.dataset.preview = "tried";
		try {
			const bitmap = await createImageBitmap(item.file,
				{ resizeWidth: PREVIEW_PIXELS, resizeQuality: "medium" });
			for (const canvas of row.querySelectorAll("canvas")) {
				canvas.width = bitmap.width;
				canvas.height = bitmap.height;
				canvas.getContext("2d").drawImage(bitmap, 0, 0);
			}
			bitmap.close();
			row.dataset.preview = "shown";
		} catch {
			// no image that this browser knows: the paper stays blank
		}
	}

	/* The keyboard must not fall off the page with a row that goes. */
	remove(item, row) {
		if (row.contains(document.activeElement)) {
			const near = row.nextElementSibling ?? row.previousElementSibling;
			(near?.querySelector("button:not([hidden])") ??
				document.querySelector("#choose-files")).focus();
		}
		row.remove();
		this.rows.delete(item);
	}
}
