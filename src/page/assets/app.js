// Puts the page together: drops and pickers, dialogues, what is said aloud.

import { key, onKeyWanted } from "./api.js";
import { fromDrop, fromInput } from "./files.js";
import { Gallery } from "./gallery.js";
import { Queue } from "./queue.js";
import { count, explain } from "./text.js";
import { UploadList } from "./uploads.js";

const find = (selector) => document.querySelector(selector);

// ---- what is said: to the eye at the bottom of the page, and to a screen reader ----

const SAID_MS = 6000;
const said = find("#said");
let saidTimer;

/* `isSeen`: the page shows it anyway, where it belongs. */
function say(text, isSeen = false) {
	said.textContent = text;
	said.classList.toggle("shown", !isSeen);
	clearTimeout(saidTimer);
	saidTimer = setTimeout(() => said.classList.remove("shown"), SAID_MS);
}

/* Several within a moment are said as one. */
let ready = [], readyTimer;

function sayReady(name) {
	ready.push(name);
	clearTimeout(readyTimer);
	readyTimer = setTimeout(() => {
		say(ready.length === 1 ? `${ready[0]} is ready.` : `${count(ready.length, "photo")} are ready.`);
		ready = [];
	}, 700);
}

// ---- dialogues ----

/* Shows it; resolves with whether it was confirmed. */
function ask(dialog) {
	return new Promise((resolve) => {
		dialog.returnValue = "";
		dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
		dialog.showModal();
	});
}

for (const dialog of document.querySelectorAll("dialog")) {
	dialog.querySelector("form").addEventListener("submit", (event) => {
		event.preventDefault();
		dialog.close("yes");
	});
	dialog.querySelector(".no").addEventListener("click", () => dialog.close(""));
}

const keyDialog = find("#key-dialog"), keyField = find("#key"), keyRemember = find("#key-remember");

function showKeyState() {
	find("#forget-key").hidden = !key.get();
}

async function askForKey(problem) {
	find("#key-why").textContent = key.get() ? explain(problem)
		: "This server shows its photos to those who have a key.";
	key.forget();
	showKeyState();
	keyField.value = "";
	const isGiven = await ask(keyDialog) && keyField.value.trim();
	if (isGiven)
		key.set(keyField.value.trim(), keyRemember.checked);
	keyField.value = "";
	showKeyState();
	return Boolean(isGiven);
}

onKeyWanted(askForKey);

find("#forget-key").addEventListener("click", () => {
	key.forget();
	location.reload();
});

function confirmDelete(name) {
	find("#delete-name").textContent = name;
	return ask(find("#delete-dialog"));
}

// ---- parts ----

const queue = new Queue();
const gallery = new Gallery(find("#prints"), { say, confirmDelete });
const pickFiles = find("#pick-files"), pickFolder = find("#pick-folder");
new UploadList(find("#uploads"), queue, { choose: () => pickFiles.click() });

queue.addEventListener("ready", ({ item, imageId }) => {
	sayReady(item.name);
	gallery.add(imageId).catch((problem) => say(explain(problem)));
});
queue.addEventListener("change", ({ item }) => {
	if (item.state === "failed" && item.said !== item.problem) {
		item.said = item.problem;
		say(`${item.name}: ${explain(item.problem)}`, true);
	}
});

function take({ picked, skipped, isCut }) {
	queue.add(picked);
	const parts = [];
	if (picked.length)
		parts.push(`${count(picked.length, "file")} added.`);
	if (skipped)
		parts.push(`${count(skipped, "file that is no image was", "files that are no images were")} left out.`);
	if (isCut)
		parts.push("The rest of the folder was left out: it has too many files.");
	if (!parts.length)
		parts.push("There is no image in it.");
	say(parts.join(" "), !skipped && !isCut && picked.length > 0);
}

find("#choose-files").addEventListener("click", () => pickFiles.click());
find("#choose-folder").addEventListener("click", () => pickFolder.click());
for (const input of [pickFiles, pickFolder])
	input.addEventListener("change", () => take(fromInput(input)));
if (!("webkitdirectory" in pickFolder))
	find("#choose-folder").hidden = true;

// ---- drops, anywhere on the page ----

let depth = 0;
const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

function over(change) {
	depth = Math.max(0, depth + change);
	document.body.classList.toggle("dragged-over", depth > 0);
}

addEventListener("dragenter", (event) => {
	if (holdsFiles(event))
		over(+1);
});
addEventListener("dragleave", (event) => {
	if (holdsFiles(event))
		over(-1);
});
addEventListener("dragover", (event) => {
	if (!holdsFiles(event))
		return;
	event.preventDefault();
	event.dataTransfer.dropEffect = "copy";
});
addEventListener("drop", async (event) => {
	if (!holdsFiles(event))
		return;
	event.preventDefault();
	depth = 0;
	over(0);
	take(await fromDrop(event.dataTransfer));
});

/* Those that go on after a reload need no warning. */
addEventListener("beforeunload", (event) => {
	if (queue.isAtRisk)
		event.preventDefault();
});

showKeyState();
gallery.load();
queue.restore();
