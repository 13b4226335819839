// A headless Chromium, driven line by line: {"do": name, ...} comes in, {"value"} or {"error"} goes
// out. What is tested, and in which order, stands in test_page.py.

import { chromium } from "playwright-core";
import readline from "node:readline";

const WAIT_MS = 20000 * Number(process.env.SLOW ?? 1);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
let context, page, seen, onChooser;

async function newPage() {
	page = await context.newPage();
	page.setDefaultTimeout(WAIT_MS);
	page.on("console", (message) => {
		if (message.type() === "error" || message.type() === "warning")
			seen.troubles.push(message.text());
	});
	page.on("pageerror", (error) => seen.troubles.push(`uncaught: ${error.message}`));
	page.on("dialog", (dialog) => {
		seen.dialogs.push(dialog.type());
		dialog.accept();
	});
	/* Listened for from the start, as Chromium must be told before a key is pressed. */
	page.on("filechooser", (chooser) => onChooser?.(chooser));
	page.on("request", (request) => seen.requests.push({
		method: request.method(), url: request.url(), headers: request.headers(),
	}));
}

const commands = {
	async open({ url, width = 1280, height = 900, dark = false, calm = false, forbidden = false }) {
		await context?.close();
		seen = { troubles: [], requests: [], dialogs: [] };
		context = await browser.newContext({
			viewport: { width, height }, colorScheme: dark ? "dark" : "light",
			reducedMotion: calm ? "reduce" : "no-preference",
			permissions: ["clipboard-read", "clipboard-write"],
		});
		await context.addInitScript(() => addEventListener("securitypolicyviolation", (event) =>
			console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
		if (forbidden)
			await context.addInitScript(() => {
				for (const name of ["localStorage", "sessionStorage", "indexedDB"])
					Object.defineProperty(window, name, { get() {
						throw new DOMException("forbidden", "SecurityError");
					} });
			});
		await newPage();
		await page.goto(url);
	},
	/* Another tab; what follows happens there. */
	async tab({ url }) {
		await newPage();
		await page.goto(url);
	},
	async closeTab() {
		await page.close();
		page = context.pages()[0];
	},
	reload: () => page.reload(),
	pick: ({ input, files }) => page.setInputFiles(input, files),
	async chooseByKey({ key, files }) {
		const chooser = new Promise((resolve) => { onChooser = resolve; });
		await page.keyboard.press(key);
		await (await chooser).setFiles(files);
	},
	/* A drop as the system makes it, of files or folders. */
	async drop({ files }) {
		const session = await context.newCDPSession(page);
		for (const type of ["dragEnter", "dragOver", "drop"])
			await session.send("Input.dispatchDragEvent", { type, x: 400, y: 200,
				data: { items: [], files, dragOperationsMask: 1 } });
	},
	press: ({ key }) => page.keyboard.press(key),
	type: ({ text }) => page.keyboard.type(text),
	click: ({ selector }) => page.click(selector),
	media: ({ dark, calm }) => page.emulateMedia({ colorScheme: dark ? "dark" : "light",
		reducedMotion: calm ? "reduce" : "no-preference" }),
	offline: ({ is }) => context.setOffline(is),
	eval: ({ code }) => page.evaluate(code),
	/* waitForFunction() would need eval(), which the page's policy forbids. */
	async wait({ code }) {
		for (const end = Date.now() + WAIT_MS; ;) {
			const value = await page.evaluate(code);
			if (value)
				return value;
			if (Date.now() > end)
				throw new Error(`never true: ${code}; the page reads:\n${
					await page.evaluate("document.body.innerText")}\n${seen.troubles.join("\n")}`);
			await new Promise((resolve) => setTimeout(resolve, 25));
		}
	},
	seen: () => seen,
	shot: ({ path }) => page.screenshot({ path, fullPage: true }),
	async popup({ selector }) {
		const opened = context.waitForEvent("page");
		await page.click(selector);
		const other = await opened;
		await other.waitForLoadState();
		const size = await other.evaluate("document.images[0]?.naturalWidth");
		const url = other.url();
		await other.close();
		return { url, size };
	},
};

for await (const line of readline.createInterface({ input: process.stdin })) {
	const { do: name, ...options } = JSON.parse(line);
	let answer;
	try {
		answer = { value: await commands[name](options) ?? null };
	} catch (error) {
		answer = { error: error.message };
	}
	process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
