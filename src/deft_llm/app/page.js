(() => {
  const press = (event) => {
    const hold = event.target.closest && event.target.closest("[data-hold]");
    if (hold && event.type === "click") {
      const still = hold.closest(".flicker").classList.toggle("still");
      hold.setAttribute("aria-pressed", String(still));
      hold.textContent = still ? "flicker" : "hold still";
    }
    const theme = event.target.closest && event.target.closest("[data-theme]");
    if (theme && event.type === "click") {
      const dark = document.body.classList.toggle("dark");
      theme.setAttribute("aria-pressed", String(dark));
    }
  };
  document.addEventListener("click", press);
  document.documentElement.lang = "en";
})
