// Files out of a drop or a picker: folders are walked, and give their images only.

const MAX_FILES = 10000;
const IMAGE_NAME = /\.(jpe?g|png|webp|gif|avif|hei[cf]|tiff?)$/i;

function isImage(file) {
	return !file.name.startsWith(".") &&
		(file.type ? file.type.startsWith("image/") : IMAGE_NAME.test(file.name));
}

const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

/* Chromium gives at most 100 entries a call. */
async function entriesOf(folder) {
	const reader = folder.createReader(), all = [];
	for (;;) {
		const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
		if (some.length === 0)
			return all;
		all.push(...some);
	}
}

async function walk(folder, result) {
	const entries = await entriesOf(folder).catch(() => []); // may not be read: nothing in it
	entries.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
	for (const entry of entries) {
		if (result.picked.length >= MAX_FILES) {
			result.isCut = true;
			return;
		}
		if (entry.isDirectory) {
			await walk(entry, result);
			continue;
		}
		const file = await fileOf(entry).catch(() => null);
		if (file && isImage(file))
			result.picked.push({ file });
		else
			result.skipped++;
	}
}

/*
 * Of a drop, called inside of its event: { picked: [{ file, handle }], skipped, isCut }. A handle,
 * where the browser gives one, can be kept for after a reload.
 */
export async function fromDrop(transfer) {
	const result = { picked: [], skipped: 0, isCut: false };
	/* All is asked for at once: after the first await the event has let go of its items. */
	const dropped = Array.from(transfer.items).filter((item) => item.kind === "file")
		.map((item) => ({
			entry: item.webkitGetAsEntry?.(),
			file: item.getAsFile(),
			handle: item.getAsFileSystemHandle?.().catch(() => null),
		}));
	for (const { entry, file, handle } of dropped) {
		if (entry?.isDirectory)
			await walk(entry, result);
		else if (file)
			result.picked.push({ file, handle: await handle ?? null });
	}
	return result;
}

/* Of <input type="file">; with webkitdirectory it lists the whole folder. */
export function fromInput(input) {
	const files = Array.from(input.files), isFolder = input.webkitdirectory;
	const taken = isFolder ? files.filter(isImage) : files;
	const picked = taken.slice(0, MAX_FILES).map((file) => ({ file }));
	input.value = ""; // so that the same file can be picked again
	return { picked, skipped: files.length - taken.length, isCut: taken.length > MAX_FILES };
}
