import { Dialog as Base } from "@base-ui/react/dialog";
import type { ReactNode } from "react";

interface DialogProps {
  readonly open: boolean;
  readonly close: () => void;
  readonly title: string;
  readonly about?: ReactNode;
  readonly children: ReactNode;
}

export function Dialog({ open, close, title, about, children }: DialogProps) {
  return (
    <Base.Root
      open={open}
      onOpenChange={(now) => {
        if (!now) close();
      }}
    >
      <Base.Portal>
        <Base.Backdrop className="backdrop" />
        <Base.Popup className="dialog">
          <Base.Title>{title}</Base.Title>
          {about ? <Base.Description className="faint">{about}</Base.Description> : null}
          {children}
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
