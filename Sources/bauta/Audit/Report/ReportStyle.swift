/// How the page looks: on screen, light and dark, narrow and wide, and on A4. Nothing is loaded from anywhere.
enum ReportStyle {
  static let css = """
    :root { color-scheme: light dark;
      --ink: #1a1c1f; --faint: #5b6169; --paper: #ffffff; --panel: #f4f5f7; --line: #d5d9de; --link: #0b5394;
      --good: #0b6b3a; --good-paper: #e3f4ea; --bad: #a31515; --bad-paper: #fde7e7; --caution: #7a4b00;
      --caution-paper: #fff3d6;
      --c0: #0072b2; --c1: #e69f00; --c2: #009e73; --c3: #cc79a7; --c4: #56b4e9; --c5: #d55e00; --c6: #7a68a6;
      --c7: #8a8f98; }
    @media (prefers-color-scheme: dark) { :root {
      --ink: #e4e7eb; --faint: #a3abb5; --paper: #14171a; --panel: #1e2327; --line: #39414a; --link: #8ab8ec;
      --good: #7bd9a0; --good-paper: #10301e; --bad: #ff9a94; --bad-paper: #3d1515; --caution: #f0c36b;
      --caution-paper: #382a08;
      --c0: #3d9bd6; --c1: #e9ae2e; --c2: #2bb58b; --c3: #d78fb7; --c4: #7cc6f2; --c5: #e8793a; --c6: #a594d4;
      --c7: #8f97a1; } }
    * { box-sizing: border-box; }
    html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
    body { margin: 0; background: var(--paper); color: var(--ink);
      font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
    main { max-width: 1080px; margin: 0 auto; padding: 24px 24px 64px; }
    h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
    h2 { font-size: 1.35rem; line-height: 1.3; margin: 48px 0 8px; padding-top: 12px; border-top: 2px solid var(--line);
      overflow-wrap: anywhere; }
    h3 { font-size: 1.08rem; margin: 32px 0 6px; }
    p, ul, ol { margin: 6px 0 12px; max-width: 74ch; }
    li { margin: 3px 0; }
    a { color: var(--link); }
    code, pre { font: 0.86em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
    pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px;
      white-space: pre-wrap; overflow-wrap: anywhere; }
    .stamp { display: block; font-size: 1.15em; letter-spacing: 0.02em; }
    .verdict { border-left: 6px solid; border-radius: 4px; padding: 14px 18px; margin: 0 0 20px; }
    .verdict p { color: var(--ink); margin-bottom: 0; }
    .verdict.good { border-color: var(--good); background: var(--good-paper); }
    .verdict.bad { border-color: var(--bad); background: var(--bad-paper); }
    .verdict.caution { border-color: var(--caution); background: var(--caution-paper); }
    .good { color: var(--good); } .bad { color: var(--bad); } .caution { color: var(--caution); }
    .word { font-weight: 650; white-space: nowrap; }
    .note { color: var(--faint); font-size: 0.9em; }
    .facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 14px 0 18px;
      padding: 0; max-width: none; list-style: none; }
    .facts li { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px;
      margin: 0; color: var(--faint); font-size: 0.86rem; line-height: 1.35; }
    .facts b { display: block; color: var(--ink); font-size: 1.3rem; font-weight: 650; line-height: 1.3; }
    nav ul { columns: 2; column-gap: 32px; padding-left: 20px; }
    .scroll { overflow-x: auto; margin: 10px 0 18px; }
    .stack { margin: 10px 0 18px; }
    table { border-collapse: collapse; width: 100%; font-size: 0.87rem; line-height: 1.4; }
    caption { text-align: left; font-weight: 600; padding: 4px 0; }
    th { text-align: left; vertical-align: bottom; font-weight: 600; color: var(--faint);
      border-bottom: 2px solid var(--line); }
    th, td { padding: 5px 12px 5px 0; }
    th:last-child, td:last-child { padding-right: 0; }
    td { vertical-align: top; border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
    .n + td:not(.n), .n + th:not(.n) { padding-left: 10px; }
    .long { overflow-wrap: anywhere; } td .long { display: inline-block; min-width: 9em; }
    .n { text-align: right; font-variant-numeric: tabular-nums; }
    td.n, time, time span { white-space: nowrap; }
    #controls th:nth-child(1) { width: 16%; } #controls th:nth-child(2) { width: 23%; }
    #controls th:nth-child(3) { width: 39%; }
    time { font-variant-numeric: tabular-nums; }
    td ul { margin: 0; padding-left: 16px; }
    figure { margin: 14px 0 18px; }
    figcaption { font-weight: 600; margin-bottom: 4px; font-size: 0.95rem; }
    svg { display: block; width: 100%; height: auto; }
    svg.narrow { display: none; }
    svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; fill: var(--faint); }
    .grid { stroke: var(--line); stroke-width: 1; } .axis { stroke: var(--faint); stroke-width: 1; }
    .curve { fill: none; stroke: var(--c0); stroke-width: 2; } .dot { fill: var(--c0); }
    .s0 { fill: var(--c0); } .s1 { fill: var(--c1); } .s2 { fill: var(--c2); } .s3 { fill: var(--c3); }
    .s4 { fill: var(--c4); } .s5 { fill: var(--c5); } .s6 { fill: var(--c6); } .s7 { fill: var(--c7); }
    .legend { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; padding: 0; margin: 8px 0 0; max-width: none;
      font-size: 0.86rem; }
    .legend li { margin: 0; overflow-wrap: anywhere; }
    .legend svg { display: inline-block; width: 12px; height: 12px; margin-right: 6px; vertical-align: -1px; }
    @media (max-width: 620px) {
      main { padding: 14px 14px 48px; } h1 { font-size: 1.35rem; } h2 { margin-top: 36px; }
      nav ul { columns: 1; } svg.wide { display: none; } svg.narrow { display: block; }
      .facts { grid-template-columns: 1fr 1fr; }
      .scroll table { width: max-content; min-width: 100%; } .scroll td { max-width: 46vw; }
      .stack thead { display: none; } .stack tr { display: block; border-bottom: 1px solid var(--line); padding: 8px 0; }
      .stack td { display: block; border: 0; padding: 2px 0 !important; text-align: left; white-space: normal;
        overflow-wrap: anywhere; }
      .stack td::before { content: attr(data-label) ": "; color: var(--faint); font-size: 0.92em; } }
    @page { size: A4; margin: 15mm 14mm 16mm; }
    @media print {
      :root { color-scheme: light; --ink: #000; --faint: #444; --paper: #fff; --panel: #f4f5f7; --line: #bbb;
        --link: #000; --good: #0b6b3a; --good-paper: #e3f4ea; --bad: #a31515; --bad-paper: #fde7e7; --caution: #7a4b00;
        --caution-paper: #fff3d6;
        --c0: #0072b2; --c1: #e69f00; --c2: #009e73; --c3: #cc79a7; --c4: #56b4e9; --c5: #d55e00; --c6: #7a68a6;
        --c7: #8a8f98; }
      * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
      html { font-size: 12.5px; } body { font-size: 9.5pt; line-height: 1.4; } main { max-width: none; padding: 0; }
      h1 { font-size: 17pt; } h2 { font-size: 13.5pt; margin-top: 20pt; } h3 { font-size: 11pt; margin-top: 14pt; }
      h2, h3, figcaption, caption { break-after: avoid; }
      section.log + section.log, #controls { break-before: page; }
      .keep { break-inside: avoid; }
      p, li { orphans: 3; widows: 3; }
      .scroll { overflow: visible; } table { font-size: 7.8pt; line-height: 1.3; }
      thead { display: table-header-group; break-after: avoid; } tbody tr:first-child { break-before: avoid; }
      tr, figure, .verdict, .facts, pre { break-inside: avoid; }
      th, td { padding: 2.5pt 6pt 2.5pt 0; }
      .n + td:not(.n), .n + th:not(.n) { padding-left: 5pt; } td .long { min-width: 7em; }
      time { white-space: normal; } svg.wide { display: block; } svg.narrow { display: none; }
      svg text { font-size: 15px; } nav { display: none; }
      a { text-decoration: none; } }
    """
}
