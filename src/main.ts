import { mainStage } from './action/main-stage.ts';
import { runStage } from './action/stage.ts';
import { processContext } from './job/context.ts';
import { KEEPER, keepUntilOver } from './run/keeper-process.ts';

if (process.argv[2] === KEEPER) {
  void keepUntilOver(process.stdin);
} else {
  void runStage((github, env) => mainStage(github, { ...processContext(), env }));
}
