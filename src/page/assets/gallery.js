// The prints: newest first, page by page; copy the address, open the original, delete.

import { call, get, here, key, listImages } from "./api.js";
import { bytes, explain } from "./text.js";

const PAGE = 24;
const COPIED_MS = 2000;
/* What a browser shows as a picture and nothing else; all other originals are downloads. */
const PICTURES = new Set(["image/jpeg", "image/png", "image/webp", "image/gif", "image/avif"]);

async function copy(text) {
	if (navigator.clipboard) {
		await navigator.clipboard.writeText(text);
		return;
	}
	/* Over plain HTTP there is only the old way. */
	const field = document.createElement("textarea");
	field.value = text;
	field.className = "unseen";
	document.body.append(field);
	field.select();
	const isDone = document.execCommand("copy");
	field.remove();
	if (!isDone)
		throw new Error("refused");
}

export class Gallery {
	constructor(root, { say, confirmDelete }) {
		this.root = root;
		this.list = root.querySelector("ul");
		this.empty = root.querySelector(".empty");
		this.trouble = root.querySelector(".trouble");
		this.moreButton = root.querySelector(".more");
		this.template = document.querySelector("#print-template");
		this.say = say;
		this.confirmDelete = confirmDelete;
		this.cards = new Map();
		this.next = null;
		this.moreButton.addEventListener("click", () => this.load(true));
		root.querySelector(".reload").addEventListener("click", () => this.load(this.cards.size > 0));
	}

	async load(byHand = false) {
		this.trouble.hidden = true;
		this.moreButton.disabled = true;
		this.root.setAttribute("aria-busy", "true");
		try {
			const page = await listImages(this.next, PAGE);
			const fresh = page.items.filter((image) => !this.cards.has(image.id));
			for (const image of fresh)
				this.list.append(this.create(image));
			this.next = page.next ?? null;
			if (byHand && fresh.length)
				this.cards.get(fresh[0].id).querySelector("a").focus();
			this.isLoaded = true;
		} catch (problem) {
			this.trouble.hidden = false;
			this.trouble.querySelector("p").textContent = explain(problem);
		}
		this.root.removeAttribute("aria-busy");
		this.moreButton.disabled = false;
		this.settle();
	}

	settle() {
		this.moreButton.hidden = !this.next;
		this.empty.hidden = this.cards.size > 0 || !this.isLoaded;
	}

	/* A new one, in front. */
	async add(id) {
		if (this.cards.has(id))
			return;
		const image = await get(`images/${id}`);
		if (this.cards.has(id))
			return;
		const card = this.create(image);
		card.classList.add("new");
		this.list.prepend(card);
		this.settle();
	}

	create(image) {
		const card = this.template.content.firstElementChild.cloneNode(true);
		const name = image.filename ?? "without a name";
		card.querySelector(".name").textContent = name;
		card.querySelector(".name").title = name;
		card.querySelector(".facts").textContent = [
			image.width && `${image.width} × ${image.height}`, bytes(image.size),
		].filter(Boolean).join(" · ");
		this.mount(card, image, name);
		for (const [selector, label] of [[".copy", "Copy address of"], [".original",
			"Open original of"], [".delete", "Delete"]]) {
			const button = card.querySelector(selector);
			button.setAttribute("aria-label", `${label} ${name}`);
		}
		const address = new URL(image.url ?? image.original, document.baseURI).href;
		card.querySelector(".copy").addEventListener("click",
			(event) => this.copy(event.currentTarget, address, name));
		this.wireOriginal(card.querySelector(".original"), image, name);
		card.querySelector(".delete").addEventListener("click", () => this.delete(card, image, name));
		this.cards.set(image.id, card);
		return card;
	}

	mount(card, image, name) {
		const mat = card.querySelector(".mat"), picture = card.querySelector("img");
		if (!image.prints?.length) {
			picture.remove();
			mat.append(Object.assign(document.createElement("span"),
				{ className: "kind", textContent: image.type ?? "file" }));
			mat.removeAttribute("target");
			return;
		}
		const widest = image.prints.at(-1);
		mat.href = here(image.url);
		picture.alt = name;
		picture.width = widest.w;
		picture.height = widest.h;
		picture.sizes = "(max-width: 34rem) 42vw, 15rem";
		picture.srcset = image.prints.map((print) => `${here(print.url)} ${print.w}w`).join(", ");
		picture.src = here(image.prints[0].url);
	}

	async copy(button, address, name) {
		try {
			await copy(address);
		} catch {
			this.say(`The browser did not let the address be copied. It is ${address}`);
			return;
		}
		button.classList.add("did");
		setTimeout(() => button.classList.remove("did"), COPIED_MS);
		this.say(`Address of ${name} copied.`);
	}

	/* Without a key a plain link; a link cannot carry a key, so then the page fetches it. */
	wireOriginal(link, image, name) {
		link.href = here(image.original);
		link.addEventListener("click", async (event) => {
			if (!key.get() || link.dataset.fetched)
				return;
			event.preventDefault();
			if (link.ariaDisabled === "true")
				return;
			link.ariaDisabled = "true";
			this.say(`Fetching the original of ${name}.`);
			try {
				const blob = await (await call("GET", here(image.original))).blob();
				link.href = URL.createObjectURL(blob);
				link.dataset.fetched = "yes";
				if (!PICTURES.has(image.type))
					link.download = name;
				/* If the browser blocks it by now, the second press opens it. */
				link.click();
			} catch (problem) {
				this.say(explain(problem));
			}
			link.ariaDisabled = null;
		});
	}

	async delete(card, image, name) {
		if (!await this.confirmDelete(name))
			return;
		try {
			await call("DELETE", `images/${image.id}`);
		} catch (problem) {
			if (problem.status !== 404) {
				this.say(explain(problem));
				return;
			}
		}
		const near = card.nextElementSibling ?? card.previousElementSibling;
		const original = card.querySelector(".original");
		if (original.dataset.fetched)
			URL.revokeObjectURL(original.href);
		this.cards.delete(image.id);
		card.remove();
		(near?.querySelector(".delete") ?? this.root.querySelector("h2")).focus();
		this.say(`${name} is deleted.`);
		this.settle();
	}
}
