// Numbers and errors as people read them.

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count) {
	let unit = 0;
	while (count >= 1024 && unit < UNITS.length - 1) {
		count /= 1024;
		unit++;
	}
	return `${unit && count < 99.95 ? count.toFixed(1) : Math.round(count)} ${UNITS[unit]}`;
}

export function duration(seconds) {
	seconds = Math.max(1, Math.round(seconds));
	if (seconds < 60)
		return `${seconds} s`;
	if (seconds < 3600)
		return `${Math.round(seconds / 60)} min`;
	return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export function count(number, one, many = `${one}s`) {
	return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/* "image/jpeg,image/png": "JPEG and PNG" */
function list(types) {
	const names = types.split(",").map((type) => type.trim().replace(/^image\//, ""))
		.map((name) => name.includes("/") ? name : name.toUpperCase().replace("WEBP", "WebP"));
	return new Intl.ListFormat("en").format(names);
}

function sentence(text) {
	text = text.trim().replace(/(?<= )x(?= \d)/g, "×")
		.replace(/\b\d{5,15}\b/g, (digits) => Number(digits).toLocaleString("en"));
	const first = /^[a-z]+(?=[\s,])/.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
	return /[.!?]$/.test(first) ? first : `${first}.`;
}

const KNOWN = {
	too_large: (p) => p.limit > 0 && p.value > 0 &&
		`A file may have at most ${bytes(p.limit)}; this one has ${bytes(p.value)}.`,
	insufficient_space: () => "The server's disk is full. What has arrived is kept.",
	store_unhealthy: () => "The server's disk has failed; it takes nothing until it is repaired.",
	unsupported_type: (p) => {
		const taken = /accepted are: (.*)$/.exec(p.detail ?? "")?.[1];
		return taken && `The server does not take files of this kind. It takes ${list(taken)}.`;
	},
	forbidden: () => "Your key does not allow this.",
	/* Without a key the detail is for programs. */
	unauthorized: (p) => /^send /.test(p.detail) && "This needs an API key.",
	undecodable_image: () => "This file cannot be read as an image; it may be damaged.",
};

const BY_STATUS = {
	0: "The server cannot be reached.",
	404: "This is no longer there.",
	410: "This is no longer there.",
	413: "Something between here and the server refuses a file of this size.",
	429: "The server has too much to do just now.",
};

/* What a problem (RFC 9457, or what stands in for one) says to a person. */
export function explain(problem) {
	const known = KNOWN[problem.code]?.(problem);
	if (known)
		return known;
	const said = problem.detail || problem.title;
	if (said)
		return sentence(said);
	return BY_STATUS[problem.status] ?? (problem.status
		? `The server answered with an error (${problem.status}).` : "Something went wrong.");
}
